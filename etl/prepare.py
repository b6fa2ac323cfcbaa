"""Raw rows in, a data set on disk out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from core.dataset import ROW, SPLIT, SPLITS, TARGET, TIME, Dataset
from core.errors import UserError
from core.files import TEMPORARY, hash_tree, write_json
from core.schema import Column, DType, Schema, Tag
from core.schema_pbtxt import write as write_pbtxt
from etl.checks import require_full, require_splits, require_values
from etl.engines import Engine, Sunk, make
from etl.entities import Catalogue, catalogues, write_catalogue, write_interactions
from etl.fitted import Fitted
from etl.look import Look, look
from etl.phases import Phases
from etl.profile import profile, unseen_shares
from etl.raw import Raw, open_raw
from etl.samples import take
from etl.sources import Sources
from etl.spec import EtlSpec
from etl.splits import ColumnSplit
from etl.splitting import Rows, expects, learn
from etl.target import require_both_classes, require_labels, target
from etl.tables import write_table
from etl.ticks import counted
from etl.times import time_of
from etl.types import dtype_of
from etl.workflow import from_spec, require_model_inputs

VERSION = 1


@dataclass(frozen=True)
class Labelled:
    """Raw rows with target, time and split.

    Attributes:
        raw: Where they come from.
        frame: ROW, the raw columns, TARGET, TIME and SPLIT, in order.
        seen: What the first look found.
        rows: Number of rows of each split.
    """

    raw: Raw
    frame: pl.LazyFrame
    seen: Look
    rows: Mapping[str, int]

    def part(self, split: str) -> pl.LazyFrame:
        """The rows of one split."""
        return self.frame.filter(pl.col(SPLIT) == SPLITS.index(split))


def prepare(sources: Sources, spec: EtlSpec, out: Path, *, seed: int) -> dict[str, Any]:
    """Write the data set that `core.dataset` describes into `out`, which exists and is empty.

    The same data, settings and seed give the same bytes, whatever the number of threads.

    Returns:
        Figures: `engine`, `rows` by split, and `phases`: name -> `seconds` and `rows_per_second`.

    Raises:
        UserError: The data or the settings are at fault.
        MissingExtra: The engine isn't there.
    """
    dataset, phases = Dataset(out), Phases()
    workplace = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=out))
    try:
        with make(spec.engine) as engine:
            with phases("read") as read:
                data = _label(sources, spec, workplace, engine, seed)
                read.rows = data.seen.rows
            with phases("fit") as fit:
                fitted = _fit(data, spec, engine)
                fit.rows = data.rows["train"]
            with phases("transform") as transform:
                sides = catalogues(data.raw)
                sunk = _transform(data, fitted, sides, dataset, engine)
                transform.rows = data.seen.rows
            with phases("describe") as describe:
                _describe(data, fitted, sides, sunk, dataset, seed)
                describe.rows = data.seen.rows
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    _write_manifest(dataset, engine, sunk)
    return {"engine": engine.name, "rows": dict(sunk.rows), "phases": phases.figures()}


def _wanted(sources: Sources, spec: EtlSpec) -> dict[str, str]:
    """The raw columns that are needed -> who needs each, for messages."""
    wanted = dict.fromkeys(from_spec(spec.features).inputs, "a feature")
    if spec.target.column in wanted:
        raise UserError(
            f"the column {spec.target.column} is the target and a feature, so the answer would leak",
            where="etl.features",
            cure="take it out of the features",
        )
    wanted[spec.target.column] = "the target"
    for role, name in sources.roles.model_dump().items():
        if name is not None:
            wanted.setdefault(name, f"the {role} role")
    if isinstance(spec.split, ColumnSplit):
        wanted.setdefault(spec.split.column, "the split")
    return wanted


def _label(sources: Sources, spec: EtlSpec, workplace: Path, engine: Engine, seed: int) -> Labelled:
    """Open and check the raw rows, and say of each what its target is and where it goes."""
    raw = open_raw(sources, _wanted(sources, spec), workplace, stage=engine.staged)
    seen = look(raw.frame, raw.types)
    if not seen.rows:
        raise UserError("there are no rows", where=raw.where, cure="give a file with rows")
    require_values(seen.nulls, seen.rows, raw.where)
    require_full(seen.nulls, [spec.target.column, raw.roles.user, raw.roles.item, raw.roles.time], raw.where)
    require_labels(spec.target, raw.frame)
    time = time_of(raw.roles.time, raw.types[raw.roles.time] if raw.roles.time else None)
    timed = raw.frame.with_columns(target(spec.target, raw.types[spec.target.column]), time)
    assign = learn(spec.split, Rows(timed, raw.roles, seed, engine.ordered))
    frame = assign(timed)
    counts = frame.group_by(SPLIT).agg(pl.len(), pl.col(TARGET).sum().alias("positive"))
    found = {row[SPLIT]: row for row in counts.collect(engine="streaming").iter_rows(named=True)}
    rows = {split: found[number]["len"] if number in found else 0 for number, split in enumerate(SPLITS)}
    require_splits(rows, expects(spec.split))
    require_both_classes(spec.target, found[0]["positive"], rows["train"])
    return Labelled(raw, frame, seen, rows)


def _fit(data: Labelled, spec: EtlSpec, engine: Engine) -> Fitted:
    """Learn the features from the training rows alone."""
    workflow = from_spec(spec.features, data.raw.tags)
    with counted(data.part("train"), "fit", None, engine) as train:
        fitted = workflow.fit(train.select(workflow.inputs), engine)
    require_model_inputs(fitted)
    return fitted


def _transform(
    data: Labelled, fitted: Fitted, sides: Mapping[str, Catalogue], dataset: Dataset, engine: Engine
) -> Sunk:
    """Write the splits, the catalogues with their features, and the interactions."""
    with counted(data.frame, "transform", data.seen.rows, engine) as frame:
        for catalogue in sides.values():
            frame = catalogue.add_index(frame, ordered=engine.ordered)
        keep = [ROW, SPLIT, TARGET, *(catalogue.index for catalogue in sides.values())]
        sunk = engine.sink(fitted.transform(frame, keep=keep, engine=engine), dataset.path)
    _write_schema(dataset, fitted, sides)
    fitted.save(dataset.workflow_dir)
    for catalogue in sides.values():
        write_catalogue(catalogue, fitted, dataset)
    if sides:
        write_interactions(data.frame, sides, dataset)
    return sunk


def _write_schema(dataset: Dataset, fitted: Fitted, sides: Mapping[str, Catalogue]) -> None:
    label = Column(TARGET, DType.FLOAT32, frozenset({Tag.TARGET, Tag.BINARY}), nullable=False)
    indices = [Column(catalogue.index, DType.INT32, nullable=False) for catalogue in sides.values()]
    schema = Schema((label, *indices, *fitted.schema))
    schema.write(dataset.schema_file)
    write_pbtxt(schema, dataset.schema_file.with_suffix(".pbtxt"))


def _describe(
    data: Labelled,
    fitted: Fitted,
    sides: Mapping[str, Catalogue],
    sunk: Sunk,
    dataset: Dataset,
    seed: int,
) -> None:
    """Write the schema of the raw columns, a sample of raw rows and the profile."""
    raw = _raw_schema(data, fitted)
    raw.write(dataset.raw_schema_file)
    split = next(split for split in ("test", "valid", "train") if data.rows[split])
    columns = [name for name in data.raw.types if name != ROW]
    samples = take(data.frame, split, columns, rows=data.seen.rows, seed=seed)
    write_table(samples.golden.select(raw.names), dataset.sample_file)
    shares = unseen_shares(sunk.files, fitted)
    write_table(profile(samples.profile, data.seen, shares), dataset.profile_file)


def _raw_schema(data: Labelled, fitted: Fitted) -> Schema:
    """The raw columns that the workflow reads, then the roles that it doesn't."""
    columns = list(fitted.input_schema)
    for name in (data.raw.roles.user, data.raw.roles.item, data.raw.roles.time):
        if name is not None and name not in fitted.input_schema:
            columns.append(Column(name, dtype_of(data.raw.types[name], name), data.raw.tags[name]))
    return Schema(tuple(replace(column, nullable=data.seen.nulls[column.name] > 0) for column in columns))


def _write_manifest(dataset: Dataset, engine: Engine, sunk: Sunk) -> None:
    manifest = {
        "version": VERSION,
        "engine": engine.name,
        "rows": dict(sunk.rows),
        "files": {
            split: [path.relative_to(dataset.path).as_posix() for path in paths]
            for split, paths in sunk.files.items()
        },
        "hashes": hash_tree(dataset.path),
    }
    write_json(dataset.path / "manifest.json", manifest)
