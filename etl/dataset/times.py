"""The time role as a number that sorts."""

from __future__ import annotations

import polars as pl

from core.dataset import TIME
from core.errors import UserError
from etl.ops.windows.clock import Unit, ticks

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


def length_of(duration: float | str, name: str, dtype: pl.DataType, unit: Unit | None) -> int:
    """A duration in the unit of TIME.

    Args:
        duration: Seconds, or text: 14d.
        name: The time role.
        dtype: Its type.
        unit: What a number there counts.

    Raises:
        UserError: Numbers are given without a unit.

    Example:
        >>> length_of("1m", "t", pl.Date(), None), length_of("1m", "t", pl.Float64(), "s")
        (60000000, 60000)
    """
    if dtype.is_temporal():
        return ticks(duration, "us")
    if unit is None:
        cure = "add `unit: s` (or ms, us, ns), or store times as datetimes"
        raise UserError("the times are numbers, which don't tell what they count", where=f"column {name}", cure=cure)
    return ticks(duration, unit) * (FLOAT_UNIT if dtype.is_float() else 1)
