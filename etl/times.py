"""The time role as a number that sorts."""

from __future__ import annotations

import polars as pl

from core.dataset import TIME
from core.errors import UserError

FLOAT_UNIT = 1000
"""Floats keep three decimals: seconds with a fraction become milliseconds."""


def time_of(name: str | None, dtype: pl.DataType | None) -> pl.Expr:
    """The column TIME, int64: integers as they are, floats in thousandths, dates and times in microseconds.

    Args:
        name: The time role, or None: TIME is 0 then.
        dtype: Its type.

    Raises:
        UserError: The column holds neither numbers nor times.

    Example:
        >>> pl.DataFrame({"t": [1.5]}).select(time_of("t", pl.Float64())).item()
        1500
    """
    if name is None or dtype is None:
        return pl.lit(0, pl.Int64).alias(TIME)
    value = pl.col(name)
    if dtype.is_integer():
        return value.cast(pl.Int64).alias(TIME)
    if dtype.is_float():
        return (value * FLOAT_UNIT).round().cast(pl.Int64).alias(TIME)
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return value.cast(pl.Datetime("us")).cast(pl.Int64).alias(TIME)
    raise UserError(
        f"the time column holds {dtype}",
        where=f"column {name}",
        cure="store times as numbers, dates or datetimes (for a CSV, add `dtypes: {" + name + ": datetime}`)",
    )
