"""Raw rows in, a data set on disk out."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from core.dataset import ROW, SPLIT, SPLITS, TIME, Dataset
from core.files import TEMPORARY
from etl.care.findings import tell
from etl.care.guard import Made
from etl.dataset.describe import gone_rows, told_targets, write_manifest, write_raw, write_schema
from etl.dataset.earlier import Earlier, provenance, tell_growth
from etl.dataset.entities import catalogues, write_catalogue, write_interactions
from etl.dataset.label import Labelled, label
from etl.dataset.phases import Phases
from etl.dataset.sources import Sources
from etl.engines import Engine, Sunk, make
from etl.engines.failures import translated
from etl.fitted import Fitted
from etl.spec import EtlSpec
from etl.ticks import counted, passes
from etl.workflow import from_spec, require_model_inputs

_TRAINING = pl.col(SPLIT) == SPLITS.index("train")


def prepare(sources: Sources, spec: EtlSpec, out: Path, *, seed: int, start_from: Path | None = None) -> dict[str, Any]:
    """Write the data set that `core.dataset` describes into `out`, which exists and is empty.

    The same data, settings and seed give the same bytes, whatever the number of threads.

    Args:
        sources: The raw files.
        spec: What happens to them.
        out: Where to.
        seed: What every random choice comes from.
        start_from: Where `spec.start_from` lies; by default seen from the working directory.

    Returns:
        Figures: `engine`, `rows` by split, `dropped`: what each rule did, `aside` and `fold_in`: rows in no split,
        `phases`: name -> `rows`, `seconds` and `rows_per_second`, and `learned`: see `etl.dataset.earlier.provenance`.

    Raises:
        UserError: The data or the settings are at fault.
        MissingExtra: The engine isn't there.
    """
    dataset, phases = Dataset(out), Phases()
    place = start_from or (None if spec.start_from is None else Path(spec.start_from))
    earlier = None if place is None else Earlier.load(place)
    workplace = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=out))
    try:
        # Steps outside the engine run on the CPU.
        with make(spec.engine) as engine, translated("cpu"):
            engine.workplace = workplace
            with phases("read") as phase:
                data = label(sources, spec, workplace, engine, seed)
                phase.rows = data.seen.rows
            engine.expect(data.seen.rows, len(data.frame.collect_schema()))
            # What windows make for the fit is still there for the transform.
            with engine.spilling(data.frame):
                with phases("fit") as phase:
                    fitted = _fit(data, spec, engine, earlier)
                    phase.rows = data.rows["train"]
                with phases("transform") as phase:
                    files = _transform(data, fitted, dataset, engine)
                    phase.rows = data.seen.rows
            with phases("describe") as phase:
                findings = write_raw(dataset, Made(data, fitted, files), spec, seed)
                phase.rows = data.seen.rows
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    learned = provenance(fitted, earlier)
    gone = gone_rows(data, spec)
    write_manifest(
        dataset,
        files,
        targets=told_targets(data),
        engine=engine.name,
        title=sources.title,
        findings=findings,
        learned=learned,
        gone=gone,
    )
    tell(findings)
    tell_growth(learned)
    return {"engine": engine.name, "rows": dict(files.rows), **gone, "phases": phases.figures(), "learned": learned}


def _fit(data: Labelled, spec: EtlSpec, engine: Engine, earlier: Earlier | None) -> Fitted:
    """Learn the features from the training rows alone, or go on from what was learned of earlier ones."""
    data = replace(data, frame=engine.source(data.frame))
    workflow = from_spec(spec.features, data.raw.tags)
    plan = workflow.plan(data.frame.collect_schema())
    # Windows look at earlier rows of every split; what is learned is learned from the training rows alone.
    frame, seen = (data.frame, data.seen.rows) if workflow.windowed else (data.part("train"), data.rows["train"])
    with counted(frame, "fit", seen * passes(plan), engine, whole=workflow.windowed) as rows:
        own = rows.select(ROW, SPLIT, TIME, *(name for name in plan.raw_names if name not in {ROW, SPLIT, TIME}))
        only = _TRAINING if workflow.windowed else None
        if earlier is None:
            fitted = engine.fit(workflow, own, only=only)
        else:
            fitted = engine.update(workflow, earlier.fitted, own, only=only)
    require_model_inputs(fitted)
    return fitted


def _transform(data: Labelled, fitted: Fitted, dataset: Dataset, engine: Engine) -> Sunk:
    """Write the splits, the workflow, the catalogues with their features, and the interactions."""
    sides = catalogues(data.raw)
    # With the moment of a row a ranker can be told what its user met before; interactions can't be matched with rows.
    timed = bool(sides) and data.raw.roles.time is not None
    keep = [*(goal.column for goal in data.goals), *(one.index for one in sides.values()), *([TIME] if timed else [])]
    with counted(data.frame, "transform", data.seen.rows, engine) as rows:
        indexed = rows
        for catalogue in sides.values():
            indexed = catalogue.add_index(indexed, ordered=engine.ordered)
        files = engine.write(fitted, indexed, dataset.path, keep=[ROW, SPLIT, *keep], training=_TRAINING)
    write_schema(dataset, fitted, sides, data.goals, timed=timed)
    fitted.save(dataset.workflow_dir)
    for catalogue in sides.values():
        write_catalogue(catalogue, fitted, dataset)
    if sides:
        write_interactions(data.frame, sides, dataset, ordered=engine.ordered)
    return files
