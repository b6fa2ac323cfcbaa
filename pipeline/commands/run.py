"""`gyrfalcon run` and the commands of single stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from core import log
from core.errors import UserError

if TYPE_CHECKING:
    from pipeline.spec import RunSpec

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
    from pipeline.datasets import NamedData
    from pipeline.datasets.named import is_cached
    from pipeline.runner import Range, execute
    from pipeline.stages import Context
    from pipeline.summary import print_plan, print_summary

    log.configure(verbose=request.verbose)
    _check_device(request.device)
    spec = _load(request)
    named = spec.data.interactions
    if request.dry and isinstance(named, NamedData) and not is_cached(named):
        raise UserError(
            f"the data set {named.dataset!r} is not here yet, so there is no plan to tell",
            where=str(request.config),
            cure=f"fetch it with: gyrfalcon data fetch {named.dataset}",
        )
    sources = spec.data.resolve(request.config.parent)
    spec = spec.model_copy(update={"etl": spec.etl.placed(request.config.parent)})
    run_dir = request.runs_dir / spec.name
    context = Context(spec, sources, run_dir, request.device, _start_from(request, spec, run_dir))
    steps = execute(context, Range(request.start, request.end), dry=request.dry)
    if request.dry:
        print_plan(steps)
    else:
        print_summary(context.run_dir, steps)


def _start_from(request: Request, spec: RunSpec, run_dir: Path) -> Path | None:
    """Where the earlier workflow lies: seen from the config's folder, else under the runs by its name."""
    name = spec.etl.start_from
    if name is None:
        return None
    from etl.dataset.earlier import workflow_in

    found = workflow_in([request.config.parent / name, request.runs_dir / name])
    if found.resolve().is_relative_to(run_dir.resolve()):
        cure = "give this run another name; the earlier one stays as it is"
        raise UserError("a run can't start from itself: its output would replace it", where="etl.start_from", cure=cure)
    return found


def _load(request: Request) -> RunSpec:
    """Read the config: the whole of it, unless the ETL is the last stage that is asked for.

    Then torch isn't imported: it takes a second, and isn't there where NVTabular is.
    """
    from core.config import load

    if request.end == "etl":
        from pipeline.etl_spec import EtlRunSpec

        # What a RunSpec has more, no stage up to the ETL looks at.
        return cast("RunSpec", load(EtlRunSpec, request.config, request.overrides))
    from pipeline.spec import RunSpec

    return load(RunSpec, request.config, request.overrides)


def _check_device(name: str) -> None:
    """Fail before the work starts; `auto` and `cpu` need no torch to be checked."""
    if name not in ("auto", "cpu"):
        from core.device import pick

        pick(name)
