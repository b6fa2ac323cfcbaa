"""Sums that are exact, and so the same whatever the order of rows, their partitions and the number of threads.

A float is taken to the nearest multiple of 2^-32 and summed as two integers: its whole part, and the rest in that
unit. An integer is summed as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import Column, DType

_UNIT = 2.0**32
_LARGEST = 2.0**62
_SMALLEST = 2.0**-12
"""A column whose every value lies below keeps less than 20 bits, so it is refused."""


def parts(x: pl.Expr, column: Column) -> dict[str, pl.Expr]:
    """The integers that stand for a number, to be summed: `whole` and, for floats, `rest`. Null is null.

    Example:
        >>> made = parts(pl.col("x"), Column("x", DType.FLOAT64))
        >>> pl.DataFrame({"x": [-0.5]}).select(value.alias(name) for name, value in made.items()).rows()
        [(-1, 2147483648)]
    """
    if column.dtype != DType.FLOAT64:
        return {"whole": x.cast(pl.Int64)}
    # What is too large is refused after the pass (`require_summable`); it must only not stop the pass.
    held = pl.when(x.abs() < _LARGEST).then(x)
    rest = ((held - held.floor()) * _UNIT).round()
    return {"whole": held.floor().cast(pl.Int64), "rest": rest.cast(pl.Int64)}


def part_names(column: Column) -> tuple[str, ...]:
    """The names of `parts`."""
    return ("whole", "rest") if column.dtype == DType.FLOAT64 else ("whole",)


def total(sums: Mapping[str, pl.Expr]) -> pl.Expr:
    """The sum as float64, of the sums of the parts."""
    whole = sums["whole"].cast(pl.Float64)
    return whole + sums["rest"].cast(pl.Float64) / _UNIT if "rest" in sums else whole


def sum_scalars(x: pl.Expr, name: str) -> dict[str, pl.Expr]:
    """Scalars that `require_summable` reads."""
    size = x.cast(pl.Float64).abs()
    return {f"size@{name}": size.sum(), f"largest@{name}": size.max()}


def require_summable(scalars: Mapping[str, Any], column: Column, kind: str) -> None:
    """Check that sums of a column are exact.

    Raises:
        UserError: Its values are too large, or all of them too small; names the column.
    """
    # None: an update without a value.
    size, largest = (scalars[f"{what}@{column.name}"] or 0.0 for what in ("size", "largest"))
    if not size < _LARGEST:
        raise UserError(
            f"the values are too large for {kind} to sum (their sizes come to {size:.3g}, the limit is {_LARGEST:.3g})",
            where=f"column {column.name}",
            cure="put log or clip before, or divide it with `expression`",
        )
    if column.dtype == DType.FLOAT64 and 0 < largest < _SMALLEST:
        raise UserError(
            f"the values are too small for {kind} to sum (none is above {largest:.3g})",
            where=f"column {column.name}",
            cure="multiply it with `expression`",
        )
