"""What a data set says about itself: schemas, a sample of raw rows, a profile and the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.dataset import ROW, TARGET, Dataset
from core.files import hash_tree, write_json
from core.schema import Column, DType, Schema, Tag
from core.schema_pbtxt import write as write_pbtxt
from etl.engines import Sunk
from etl.entities import Catalogue
from etl.fitted import Fitted
from etl.label import Labelled
from etl.profile import profile, unseen_shares
from etl.samples import take
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


def write_raw(dataset: Dataset, data: Labelled, fitted: Fitted, files: Sunk, seed: int) -> None:
    """Write what is known of the raw rows: their schema, up to a thousand of them, their profile.

    The sample is of the test split where there is one; else of the validation split, else of the training split.
    """
    schema = _raw_schema(data, fitted)
    schema.write(dataset.raw_schema_file)
    split = next(split for split in ("test", "valid", "train") if data.rows[split])
    columns = [name for name in data.raw.types if name != ROW]
    samples = take(data.frame, split, columns, rows=data.seen.rows, seed=seed)
    write_table(samples.golden.select(schema.names), dataset.sample_file)
    shares = unseen_shares(files.files, fitted)
    write_table(profile(samples.profile, data.seen, shares), dataset.profile_file)


def _raw_schema(data: Labelled, fitted: Fitted) -> Schema:
    """The raw columns that the workflow reads, then the roles that it doesn't."""
    roles = data.raw.roles
    others = [name for name in (roles.user, roles.item, roles.time) if name and name not in fitted.input_schema]
    added = [Column(name, dtype_of(data.raw.types[name], name), data.raw.tags[name]) for name in others]
    columns = [*fitted.input_schema, *added]
    return Schema(tuple(replace(column, nullable=data.seen.nulls[column.name] > 0) for column in columns))


def write_manifest(dataset: Dataset, files: Sunk, *, engine: str, title: str | None) -> None:
    """Write the manifest, last: rows, files and hashes. It holds no times, so equal data have equal manifests."""
    base = dataset.path
    names = {split: [path.relative_to(base).as_posix() for path in paths] for split, paths in files.files.items()}
    manifest = {
        "version": VERSION,
        "engine": engine,
        "title": title,
        "rows": dict(files.rows),
        "files": names,
        "hashes": hash_tree(base),
    }
    write_json(base / "manifest.json", manifest)
