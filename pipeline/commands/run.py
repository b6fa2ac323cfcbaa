"""`gyrfalcon run` and the commands of single stages."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from core import log
from core.errors import UserError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pipeline.spec import RunSpec
    from pipeline.stages import Context
    from pipeline.track.spec import TrackSpec

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
    context = context_of(request, spec, request.runs_dir / spec.name)
    with _tracked(context, None if request.dry else spec.track):
        steps = execute(context, Range(request.start, request.end), dry=request.dry)
    if request.dry:
        print_plan(steps)
    else:
        print_summary(context.run_dir, steps)


def _tracked(context: Context, track: TrackSpec | None) -> AbstractContextManager[object]:
    """What writes the run down elsewhere; not where the ETL is the last stage, since nothing was read of `track`."""
    from pipeline.track.spec import TrackSpec

    if not isinstance(track, TrackSpec):
        return contextlib.nullcontext()
    from pipeline.track.tracker import settings_of, tracked

    return tracked(track, context.spec.name, settings_of(context.spec), context.run_dir)


def context_of(request: Request, spec: RunSpec, run_dir: Path) -> Context:
    """The run of a config in a directory; a named data set is fetched where it is not in the cache.

    Raises:
        UserError: The data can't be had, or an earlier run that this one goes on from is not there.
    """
    from pipeline.stages import Context

    sources = spec.data.resolve(request.config.parent)
    # No stage may know of a search or of who is told: nothing that a run writes depends on them.
    spec = spec.model_copy(update={"etl": spec.etl.placed(request.config.parent), "tune": None, "track": None})
    start, begun = _start_from(request, spec, run_dir), _begun_from(request, spec, run_dir)
    return Context(spec, sources, run_dir, request.device, start, begun)


def _start_from(request: Request, spec: RunSpec, run_dir: Path) -> Path | None:
    """Where the earlier workflow lies: seen from the config's folder, else under the runs by its name."""
    name = spec.etl.start_from
    if name is None:
        return None
    from etl.dataset.earlier import workflow_in

    found = workflow_in([request.config.parent / name, request.runs_dir / name])
    _require_another(found, run_dir, "etl.start_from")
    return found


def _require_another(found: Path, run_dir: Path, where: str) -> None:
    if found.resolve().is_relative_to(run_dir.resolve()):
        cure = "give this run another name; the earlier one stays as it is"
        raise UserError("a run can't start from itself: its output would replace it", where=where, cure=cure)


def _begun_from(request: Request, spec: RunSpec, run_dir: Path) -> dict[str, Path]:
    """Where the runs lie whose models the training begins with, by side: looked for as the earlier workflow is."""
    if request.end == "etl":
        return {}
    found = {}
    for side in ("retriever", "ranker"):
        settings = getattr(spec.train, side)
        if settings is None or settings.start_from is None:
            continue
        where, name = f"train.{side}.start_from", settings.start_from.run
        places = [request.config.parent / name, request.runs_dir / name]
        there = [place for place in places if (place / "train" / side / "model.json").is_file()]
        if not there:
            told = f"there is no trained {side} to start from in {' or '.join(str(place) for place in places)}"
            raise UserError(told, where=where, cure="name the directory of a run whose train stage is done")
        _require_another(there[0], run_dir, where)
        found[side] = there[0]
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
