"""What a data set says about itself: schemas, a sample of raw rows, a profile and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from core.dataset import ROW, TARGET, Dataset
from core.files import hash_tree, write_json
from core.schema import Column, DType, Schema, Tag
from core.schema_pbtxt import write as write_pbtxt
from etl.engines import Sunk
from etl.entities import Catalogue
from etl.findings import Finding, drifting
from etl.fitted import Fitted
from etl.guard import Made, guard
from etl.label import Labelled
from etl.profile import profile, unseen_shares
from etl.samples import take
from etl.spec import EtlSpec
from etl.splits import ColumnSplit
from etl.tables import write_table
from etl.types import dtype_of

VERSION = 1
"""Of the layout of a data set."""


def write_schema(dataset: Dataset, fitted: Fitted, sides: Mapping[str, Catalogue]) -> None:
    """Write the schema of the split files, in our form and in Merlin's."""
    answer = Column(TARGET, DType.FLOAT32, frozenset({Tag.TARGET, Tag.BINARY}), nullable=False)
    indices = [Column(catalogue.index, DType.INT32, nullable=False) for catalogue in sides.values()]
    schema = Schema((answer, *indices, *fitted.schema))
    schema.write(dataset.schema_file)
    write_pbtxt(schema, dataset.path / "schema.pbtxt")


def write_raw(dataset: Dataset, made: Made, spec: EtlSpec, seed: int) -> list[Finding]:
    """Write what is known of the raw rows: their schema, up to a thousand of them, their profile.

    The sample is of the test split where there is one; else of the validation split, else of the training split.

    Returns:
        What a person should know: columns that drift, features that may leak.

    Raises:
        UserError: A feature may leak, and the settings refuse that.
    """
    data = made.data
    schema = _raw_schema(data, made.fitted)
    schema.write(dataset.raw_schema_file)
    golden = next(split for split in ("test", "valid", "train") if data.rows[split])
    columns = [name for name in data.raw.types if name != ROW]
    samples = take(data.frame, golden, columns, rows=data.rows, seed=seed)
    write_table(samples.golden.select(schema.names), dataset.sample_file)
    told = profile(samples, data.seen, unseen_shares(made.files.files, made.fitted))
    write_table(told, dataset.profile_file)
    leaks = guard(made, samples, spec, told.filter(pl.any_horizontal("drifts_valid", "drifts_test"))["name"].to_list())
    roles, split = data.raw.roles, spec.split
    cut = split.column if isinstance(split, ColumnSplit) else None
    return [*leaks, *drifting(told, quiet=(roles.user, roles.item, roles.time, cut))]


def _raw_schema(data: Labelled, fitted: Fitted) -> Schema:
    """The raw columns that the workflow reads, then the roles that it doesn't."""
    roles = data.raw.roles
    others = [name for name in (roles.user, roles.item, roles.time) if name and name not in fitted.input_schema]
    added = [Column(name, dtype_of(data.raw.types[name], name), data.raw.tags[name]) for name in others]
    columns = [*fitted.input_schema, *added]
    return Schema(tuple(replace(column, nullable=data.seen.nulls[column.name] > 0) for column in columns))


def write_manifest(
    dataset: Dataset,
    files: Sunk,
    *,
    engine: str,
    title: str | None,
    findings: Sequence[Finding],
    learned: Mapping[str, Any],
) -> None:
    """Write the manifest, last: rows, files and hashes. It holds no times, so equal data have equal manifests."""
    base = dataset.path
    names = {split: [path.relative_to(base).as_posix() for path in paths] for split, paths in files.files.items()}
    manifest = {
        "version": VERSION,
        "engine": engine,
        "title": title,
        "rows": dict(files.rows),
        "files": names,
        "warnings": [found.to_json() for found in findings],
        "learned": dict(learned),
        "hashes": hash_tree(base),
    }
    write_json(base / "manifest.json", manifest)
