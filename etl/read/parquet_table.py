"""Parquet files as one lazy frame; their footers are checked before a row is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import polars.exceptions as pe

from core.errors import UserError
from etl.checks import require_names
from etl.engines.failures import brief


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
    except (pa.ArrowInvalid, OSError) as error:
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
                    cure="files of one table must have the same columns and types",
                )


def _told(dtype: Any) -> str:
    return "missing" if dtype is None else f"of type {dtype}"


def broken_file(files: Sequence[Path]) -> UserError | None:
    """Look for the file whose pages can't be read, after a scan of all of them has failed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    file.read_row_group(group)
        except (pa.ArrowException, OSError) as error:
            return UserError(
                f"a part of this Parquet file can't be read ({brief(error)})",
                where=str(path),
                cure="copy or write it again",
            )
    return None
