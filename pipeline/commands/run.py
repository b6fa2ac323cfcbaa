"""`gyrfalcon run` and the commands of single stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core import log
from core.errors import UserError

ONE_STAGE = ("etl", "train", "evaluate", "export")


@dataclass(frozen=True)
class Request:
    """What was typed.

    Attributes:
        config: The YAML file.
        overrides: Values of `--set`.
        start: Value of `--from`.
        end: Value of `--until`.
        device: Value of `--device`.
        runs_dir: Value of `--runs-dir`.
        dry: Only tell the plan.
        verbose: Log details.
    """

    config: Path
    overrides: Sequence[str] = ()
    start: str | None = None
    end: str | None = None
    device: str = "auto"
    runs_dir: Path = Path("runs")
    dry: bool = False
    verbose: bool = False


def run(request: Request) -> None:
    """Do what was asked, and print a summary.

    Raises:
        UserError: The config or the data are at fault.
    """
    from core.config import load
    from pipeline.datasets import NamedData
    from pipeline.datasets.named import is_cached
    from pipeline.runner import Range, execute
    from pipeline.spec import RunSpec
    from pipeline.stages import Context
    from pipeline.summary import print_plan, print_summary

    log.configure(verbose=request.verbose)
    _check_device(request.device)
    spec = load(RunSpec, request.config, request.overrides)
    named = spec.data.interactions
    if request.dry and isinstance(named, NamedData) and not is_cached(named):
        raise UserError(
            f"the data set {named.dataset!r} is not here yet, so there is no plan to tell",
            where=str(request.config),
            cure=f"fetch it with: gyrfalcon data fetch {named.dataset}",
        )
    sources = spec.data.resolve(request.config.parent)
    context = Context(spec, sources, request.runs_dir / spec.name, request.device)
    steps = execute(context, Range(request.start, request.end), dry=request.dry)
    if request.dry:
        print_plan(steps)
    else:
        print_summary(context.run_dir, steps)


def _check_device(name: str) -> None:
    """Fail before the work starts; `auto` and `cpu` need no torch to be checked."""
    if name not in ("auto", "cpu"):
        from core.device import pick

        pick(name)
