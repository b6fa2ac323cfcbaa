"""What a data set says about itself: schemas, a sample of raw rows, a profile and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.dataset import GOAL, ROW, TIME, Dataset
from core.files import hash_tree, write_json
from core.schema import OTHER_ROWS, Column, DType, Schema, Tag
from core.schema_pbtxt import write as write_pbtxt
from etl.care.findings import Finding, drifting
from etl.care.guard import Made, guard
from etl.care.profile import profile, unseen_shares
from etl.care.samples import Sizes, take
from etl.dataset.entities import Catalogue
from etl.dataset.label import Labelled
from etl.dataset.latest import write_latest
from etl.dataset.splits import ColumnSplit, UsersSplit
from etl.dataset.tables import write_table
from etl.dataset.target import Goal
from etl.engines import Sunk
from etl.fitted import Fitted
from etl.serving import for_serving, given_columns
from etl.spec import EtlSpec
from etl.types import dtype_of

VERSION = 1
"""Of the layout of a data set."""


def write_schema(
    dataset: Dataset, fitted: Fitted, sides: Mapping[str, Catalogue], goals: Sequence[Goal], *, timed: bool
) -> None:
    """Write the schema of the split files, in our form and in Merlin's; `timed`: they hold the moments of rows."""
    answers = [_target(goal) for goal in goals]
    indices = [Column(catalogue.index, DType.INT32, nullable=False) for catalogue in sides.values()]
    moment = [Column(TIME, DType.INT64, frozenset({Tag.TIME}), nullable=False)] if timed else []
    schema = Schema((*answers, *indices, *moment, *_features(fitted)))
    schema.write(dataset.schema_file)
    write_pbtxt(schema, dataset.path / "schema.pbtxt")


def _target(goal: Goal) -> Column:
    """The column of a target; of several, each tells its name."""
    name = {} if goal.name == GOAL else {GOAL: goal.name}
    tags = frozenset({Tag.TARGET, Tag.BINARY})
    return Column(goal.column, DType.FLOAT32, tags, nullable=not goal.main, properties=name)


def _features(fitted: Fitted) -> list[Column]:
    """The features; those that depend on other rows than their own say so."""
    alone = set(fitted.by_row())
    told = {OTHER_ROWS: True}
    return [one if one.name in alone else replace(one, properties={**one.properties, **told}) for one in fitted.schema]


def write_raw(dataset: Dataset, made: Made, spec: EtlSpec, seed: int) -> list[Finding]:
    """Write what is known of the raw rows: their schema, up to a thousand of them, their profile.

    The sample is of the test split where there is one; else of the validation split, else of the training split.
    Schema and sample are of rows as they are served: with what windows over earlier rows make, which callers give.

    Returns:
        What a person should know: columns that drift, features that may leak.

    Raises:
        UserError: A feature may leak, and the settings refuse that.
    """
    data = made.data
    schema = _raw_schema(data, for_serving(made.fitted))
    schema.write(dataset.raw_schema_file)
    golden = next(split for split in ("test", "valid", "train") if data.rows[split])
    columns = [name for name in data.raw.types if name != ROW]
    main, *others = data.goals
    further = {one.name: Sizes(data.known[one.name], data.positives[one.name], one.column) for one in others}
    sizes = Sizes(data.rows, data.positives[main.name])
    samples = take(data.frame, golden, columns, sizes=sizes, seed=seed, further=further)
    sample = samples.golden
    if given_columns(made.fitted):
        known = [name for name in schema.names if name in sample]
        sample = write_latest(dataset, made.fitted, data.frame, sample.select(ROW, *known))
    write_table(sample.select(schema.names), dataset.sample_file)
    told = profile(samples, data.seen, unseen_shares(made.files.files, made.fitted), data.goals)
    write_table(told, dataset.profile_file)
    leaks = guard(made, samples, spec, told)
    roles, split = data.raw.roles, spec.split
    cut = split.column if isinstance(split, ColumnSplit) else None
    return [*leaks, *drifting(told, quiet=(roles.user, roles.item, roles.time, cut))]


def _raw_schema(data: Labelled, fitted: Fitted) -> Schema:
    """The raw columns that the workflow reads, then the roles that it doesn't."""
    roles = data.raw.roles
    others = [name for name in (roles.user, roles.item, roles.time) if name and name not in fitted.input_schema]
    added = [Column(name, dtype_of(data.raw.types[name], name), data.raw.tags[name]) for name in others]
    columns = [*fitted.input_schema, *added]
    nulls = data.seen.nulls
    return Schema(tuple(replace(one, nullable=nulls.get(one.name, one.nullable) > 0) for one in columns))


def gone_rows(data: Labelled, spec: EtlSpec) -> dict[str, Any]:
    """The rows that are in no split: those that rules dropped, and those that the split set aside or folded in."""
    dropped = [one.to_json() for one in data.raw.dropped]
    left = data.seen.rows - sum(data.rows.values())
    if isinstance(spec.split, UsersSplit):
        return {"dropped": dropped, "aside": 0, "fold_in": left}
    return {"dropped": dropped, "aside": left}


def told_targets(data: Labelled) -> list[dict[str, Any]]:
    """The targets, the main one first: their columns, and how many rows of each split are known and positive."""
    return [
        {
            "name": goal.name,
            "column": goal.column,
            "known": dict(data.known[goal.name]),
            "positives": dict(data.positives[goal.name]),
        }
        for goal in data.goals
    ]


def write_manifest(
    dataset: Dataset,
    files: Sunk,
    *,
    targets: Sequence[Mapping[str, Any]],
    engine: str,
    title: str | None,
    findings: Sequence[Finding],
    learned: Mapping[str, Any],
    gone: Mapping[str, Any],
) -> None:
    """Write the manifest, last: rows, files and hashes. It holds no times, so equal data have equal manifests."""
    base = dataset.path
    names = {split: [path.relative_to(base).as_posix() for path in paths] for split, paths in files.files.items()}
    manifest = {
        "version": VERSION,
        "engine": engine,
        "title": title,
        "rows": dict(files.rows),
        "targets": [dict(one) for one in targets],
        **gone,
        "files": names,
        "warnings": [found.to_json() for found in findings],
        "learned": dict(learned),
        "hashes": hash_tree(base),
    }
    write_json(base / "manifest.json", manifest)
