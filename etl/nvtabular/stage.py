"""Rows written for NVTabular: a declared step on the CPU, by Polars.

Columns are written as operators see them (`etl.types.canonical`): null where a value stands for null, three types.
Integers are written as floats, which is how pandas holds integers beside nulls: were a column integers in the fit,
the first null in later rows would stop NVTabular. A column with integers that float64 can't hold exactly stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from core.errors import UserError
from core.schema import Column, DType
from etl.engines.base import COMPRESSION
from etl.types import canonical, canonical_dtype, check_drift

_EXACT = 2**53
_ROW_GROUP = 131_072


def large_integers(frame: pl.LazyFrame, columns: Sequence[Column]) -> frozenset[str]:
    """The columns that hold integers which float64 can't hold exactly."""
    values = {column.name: _canonical(frame, column) for column in columns if _whole(column)}
    if not values:
        return frozenset()
    far = [(value.abs() >= _EXACT).any().alias(name) for name, value in values.items()]
    found = frame.select(far).collect(engine="streaming").row(0, named=True)
    return frozenset(name for name, yes in found.items() if yes)


def write_rows(
    frame: pl.LazyFrame, columns: Sequence[Column], large: frozenset[str], path: Path, keep: Sequence[str] = ()
) -> None:
    """Write rows as one Parquet file.

    Args:
        frame: Raw rows.
        columns: The raw columns to write.
        large: Those that stay integers.
        path: The file.
        keep: Columns that are written as they are.

    Raises:
        UserError: A column is missing, its type has changed, or one of the `large` ones holds a null.
    """
    written = []
    # The target can be kept and read, too.
    for column in (one for one in columns if one.name not in keep):
        value = _canonical(frame, column)
        as_float = _whole(column) and column.name not in large
        written.append((value.cast(pl.Float64) if as_float else value).alias(column.name))
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen = frame.select(*keep, *written)
    chosen.sink_parquet(path, compression=COMPRESSION, row_group_size=_ROW_GROUP, engine="streaming")
    _require_full(path, sorted(large & {column.name for column in columns}))


def _whole(column: Column) -> bool:
    return canonical_dtype(column.dtype) == DType.INT64 and not column.is_list


def _canonical(frame: pl.LazyFrame, column: Column) -> pl.Expr:
    found = frame.collect_schema()[column.name]
    return canonical(column.name, check_drift(column, found), is_list=column.is_list)


def _require_full(path: Path, names: Sequence[str]) -> None:
    nulls = pl.scan_parquet(path, glob=False).select(pl.col(names).null_count()).collect() if names else None
    for name, count in nulls.row(0, named=True).items() if nulls is not None else ():
        if count:
            raise UserError(
                "the column holds integers above 2^53 and nulls, which pandas can't hold together",
                where=f"engine nvtabular, column {name}",
                cure="fill the nulls, store the integers as strings, or set `etl.engine: cpu`",
            )
