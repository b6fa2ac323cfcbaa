"""Tables that are given to an operator: a frame in Python, or files named in a config.

The operator keeps what it needs of the table in its state, so a saved workflow needs neither the frame nor the
files; and loading one opens no file that a setting names.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, runtime_checkable

import polars as pl
from pydantic import PlainSerializer, PlainValidator, ValidationError, WithJsonSchema

from core.dataset import ROW
from core.errors import UserError
from core.files import hash_bytes
from core.spec import custom_error
from etl.dataset.sources import TableSpec

if TYPE_CHECKING:
    from etl.features import FeatureSpec


@dataclass(frozen=True, eq=False)
class Given:
    """A table that a setting gives.

    Attributes:
        files: Where it lies, for one that was named.
        held: Its rows, for one that was handed over.
        digest: Hash of the rows of one that was handed over, when a saved workflow is loaded.
        base: Directory that relative paths start from.
    """

    files: TableSpec | None = None
    held: pl.DataFrame | None = None
    digest: str = ""
    base: Path = Path()

    @cached_property
    def table(self) -> pl.DataFrame:
        """Its rows; files are read once.

        Raises:
            UserError: A file is missing or can't be read, or the table is only known from a saved workflow.
        """
        from etl.read import open_table

        if self.held is not None:
            return self.held
        if self.files is None:
            raise UserError("the table is kept in the saved workflow alone", cure="give the table again")
        table = open_table(self.placed_files)
        return table.read(lambda scan: scan.drop(ROW).collect())

    @property
    def opened(self) -> bool:
        """Its rows are at hand without a look at any file."""
        return self.held is not None or "table" in vars(self)

    @property
    def placed_files(self) -> TableSpec:
        """The files, by absolute path."""
        assert self.files is not None
        paths = tuple(str((self.base / path).absolute()) for path in self.files.path)
        return self.files.model_copy(update={"path": paths})

    def matrix(self) -> Any:
        """A table of row, column and (optionally) value as a sparse matrix of SciPy."""
        rows, columns, *values = self.table.drop_nulls().get_columns()
        data = values[0].to_numpy() if values else [1.0] * len(rows)
        shape = self.table.select(pl.nth(0, 1).max().cast(pl.Int64) + 1).row(0)
        coo = import_module("scipy.sparse").coo_matrix
        return coo((data, (rows.to_numpy(), columns.to_numpy())), shape=shape)

    @property
    def name(self) -> str:
        """How messages call it."""
        return "the given table" if self.files is None else ", ".join(self.files.path)

    @cached_property
    def sha256(self) -> str:
        """Hash of the rows of one that was handed over."""
        if self.held is None:
            return self.digest
        buffer = io.BytesIO()
        self.held.rechunk().write_ipc(buffer)
        return hash_bytes(buffer.getvalue())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Given) and (self.files, self.sha256) == (other.files, other.sha256)

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return self.name


def _read(value: Any) -> Given:
    if isinstance(value, Given):
        return value
    if isinstance(value, Mapping) and set(value) == {"sha256"}:
        return Given(digest=str(value["sha256"]))
    if isinstance(value, str | Path | list | tuple):
        value = {"path": [str(one) for one in value] if isinstance(value, list | tuple) else str(value)}
    if isinstance(value, Mapping):
        try:
            return Given(files=TableSpec.model_validate(value))
        except ValidationError as error:
            first = error.errors()[0]
            raise custom_error("table", f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return Given(held=_frame(value))


def _frame(value: Any) -> pl.DataFrame:
    if isinstance(value, pl.LazyFrame):
        return value.collect()
    if isinstance(value, pl.DataFrame):
        return value
    made: Any = None
    if hasattr(value, "tocoo"):
        made = _triples(value.tocoo())
    elif hasattr(value, "__arrow_c_stream__"):
        made = pl.DataFrame(value)
    elif type(value).__module__.startswith("pandas"):
        made = pl.DataFrame({str(name): column.tolist() for name, column in value.items()}, nan_to_null=True)
    if not isinstance(made, pl.DataFrame):
        told = f"must be a frame, or the path of a Parquet or CSV file, got {type(value).__name__}"
        raise custom_error("table", told)
    return made


def _triples(matrix: Any) -> pl.DataFrame:
    """The cells of a sparse matrix by row and column; a row without any has one without a column."""
    cells = pl.DataFrame({"row": matrix.row, "column": matrix.col, "value": matrix.data})
    cells = cells.cast({"row": pl.Int64, "column": pl.Int64, "value": pl.Float64})
    rows = pl.DataFrame({"row": range(matrix.shape[0])}, schema={"row": pl.Int64})
    return rows.join(cells, on="row", how="left", maintain_order="left")


def _dump(value: Given) -> Any:
    if value.files is None:
        return {"sha256": value.sha256}
    settings = value.files.model_dump(mode="json", exclude_defaults=True)
    return settings if len(settings) > 1 else list(value.files.path)


GivenTable = Annotated[
    Given,
    PlainValidator(_read),
    PlainSerializer(_dump),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array"}, {"type": "object"}]}),
]
"""The type of a setting: a frame; a path or several; or the settings of a `TableSpec`."""


@runtime_checkable
class NamesFiles(Protocol):
    """An operator whose settings name files other than tables."""

    def placed(self, base: Path) -> Any:
        """The same operator, whose relative paths start from this directory."""
        ...

    @property
    def named_files(self) -> tuple[Path, ...]:
        """The files, by absolute path."""
        ...


def placed(features: Iterable[FeatureSpec], base: Path) -> tuple[FeatureSpec, ...]:
    """The same features, whose named tables lie under `base` where their path is relative."""
    made = []
    for feature in features:
        ops = tuple(
            one.placed(base)
            if isinstance(one, NamesFiles)
            else one.model_copy(update={name: replace(given, base=base) for name, given in _given(one)})
            for one in feature.ops
        )
        made.append(feature.model_copy(update={"ops": ops}))
    return tuple(made)


def named_tables(features: Iterable[FeatureSpec]) -> list[TableSpec]:
    """The files that features name, by absolute path."""
    operators = [one for feature in features for one in feature.ops]
    found = (given for one in operators for _, given in _given(one))
    tables = [given.placed_files for given in found if given.files is not None]
    files = [[str(path) for path in one.named_files] for one in operators if isinstance(one, NamesFiles)]
    return [*tables, *(TableSpec(path=paths) for paths in files if paths)]


def _given(operator: Any) -> Iterator[tuple[str, Given]]:
    for name in type(operator).model_fields:
        value = getattr(operator, name)
        if isinstance(value, Given):
            yield name, value
