"""Parquet files as one lazy frame; their footers are checked before a row is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import polars.exceptions as pe

from core.errors import UserError
from etl.dataset.checks import require_names
from etl.engines.failures import brief

if TYPE_CHECKING:
    import pyarrow as pa


def scan(files: Sequence[Path], row_index: str) -> pl.LazyFrame:
    """Scan Parquet files with the number of each row.

    Raises:
        UserError: A file is cut short or broken, has a name twice, or its schema differs from the first file's.
    """
    schemas = {path: _schema(path) for path in files}
    _check_same(schemas)
    return pl.scan_parquet(list(files), row_index_name=row_index, glob=False, hive_partitioning=False)


def _schema(path: Path) -> dict[str, pl.DataType]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
    except pa.ArrowNotImplementedError as error:
        raise UserError(
            f"this Parquet file holds a type that can't be read ({brief(error)})",
            where=str(path),
            cure="write the column as another type; large integers as strings",
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"this is not a whole Parquet file ({brief(error)})",
            where=str(path),
            cure="it may have been cut short: copy or write it again",
        ) from None
    require_names(names, str(path))
    try:
        return dict(pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema())
    except pe.PolarsError as error:
        raise UserError(f"this Parquet file can't be read ({brief(error)})", where=str(path)) from None


def _check_same(schemas: dict[Path, dict[str, pl.DataType]]) -> None:
    (first, expected), *others = schemas.items()
    for path, found in others:
        for name in [*expected, *found]:
            left, right = expected.get(name), found.get(name)
            if left != right:
                raise UserError(
                    f"the column {name} is {_told(left)} in {first} and {_told(right)} in {path}",
                    cure=_cure(left, right),
                )


def _told(dtype: Any) -> str:
    if isinstance(dtype, pl.Datetime):
        return f"a datetime {f'in {dtype.time_zone}' if dtype.time_zone else 'without a zone'} ({dtype.time_unit})"
    return "missing" if dtype is None else f"of type {dtype}"


def _cure(left: Any, right: Any) -> str:
    if isinstance(left, pl.Datetime) and isinstance(right, pl.Datetime) and left.time_zone != right.time_zone:
        return "write the times of all files in one zone, best in UTC"
    return "files of one table must have the same columns and types"


def broken_file(files: Sequence[Path]) -> UserError | None:
    """Look for the file whose pages can't be read, after a scan of all of them has failed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    fault = _not_text(path, file.read_row_group(group))
                    if fault is not None:
                        return fault
        except (pa.ArrowException, OSError) as error:
            return UserError(
                f"a part of this Parquet file can't be read ({brief(error)})",
                where=str(path),
                cure="copy or write it again",
            )
    return None


def _not_text(path: Path, table: pa.Table) -> UserError | None:
    import pyarrow as pa

    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            return UserError(
                f"the column {name} holds bytes that are not UTF-8 text ({brief(error)})",
                where=str(path),
                cure="convert the text to UTF-8 and write the file again",
            )
    return None
