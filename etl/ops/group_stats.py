"""Statistics of numbers by key: how they are gathered, merged and shown; what join_groupby computes with.

A table has, beside its keys, the number of rows `count` and, as far as the statistics need them, for each number:

- `filled@NAME`: how many rows have a value
- `whole@NAME`, `rest@NAME`: their exact sum (see `etl.ops.sums`)
- `low@NAME`, `high@NAME`: the extremes
- `spread@NAME`: the sum of squared distances from the mean
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
import polars as pl

from core.schema import Column, DType
from etl.ops.keyed import in_order, key_places
from etl.ops.sums import part_names, parts, total

COUNT = "count"
_SPREAD = ("std", "var")
_BITS = 22
"""A learned spread keeps this many bits: far above what the order of rows changes, even in millions of groups."""


def _variance(x: pl.Expr) -> pl.Expr:
    return x.var(ddof=1)


AGGREGATE: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "filled": pl.Expr.sum,
    "whole": pl.Expr.sum,
    "rest": pl.Expr.sum,
    "low": pl.Expr.min,
    "high": pl.Expr.max,
    "spread": _variance,
}
"""How each column is aggregated; a GPU engine streams `var`, and `learned` makes squares of it."""
_MERGE = {**AGGREGATE, "spread": pl.Expr.sum}


def needs_sums(stats: Collection[str]) -> bool:
    """Whether these statistics are made of sums."""
    return not {"sum", "mean", *_SPREAD}.isdisjoint(stats)


def gathered(x: pl.Expr, column: Column, stats: Collection[str]) -> dict[str, pl.Expr]:
    """What to aggregate of a number for these statistics, by the column's first word."""
    number, found = x.cast(pl.Float64), dict[str, pl.Expr]()
    spread = not set(_SPREAD).isdisjoint(stats)
    if needs_sums(stats):
        found |= {"filled": x.is_not_null().cast(pl.Int64), **parts(x, column)}
    if "min" in stats or spread:
        found["low"] = number
    if "max" in stats or spread:
        found["high"] = number
    return found | ({"spread": number} if spread else {})


def summed(table: pl.DataFrame, name: str) -> Column:
    """A number as far as its sums tell: floats have a rest."""
    return Column(name, DType.FLOAT64 if f"rest@{name}" in table.columns else DType.INT64)


def learned(table: pl.DataFrame) -> pl.DataFrame:
    """Turn variances into sums of squares, rounded; where all values are equal they are 0."""
    made = []
    for name in _spreads(table):
        squares = pl.col(f"spread@{name}") * (pl.col(f"filled@{name}") - 1)
        same = pl.col(f"low@{name}") == pl.col(f"high@{name}")
        made.append(pl.when(same).then(0.0).otherwise(squares.fill_nan(0.0).fill_null(0.0)).alias(f"spread@{name}"))
    return _rounded(table.with_columns(made))


def merged(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """The table of the rows of two (Chan, Golub and LeVeque, 1983)."""
    both = pl.concat([old, new]).with_columns(_mean(old, name).alias(f"mean@{name}") for name in _spreads(old))
    made = [pl.col(COUNT).sum()]
    for column in old.columns:
        part, _, name = column.partition("@")
        if part in _MERGE and name:
            made.append(_MERGE[part](pl.col(column)) + (_between(name) if part == "spread" else 0))
    return _rounded(in_order(both.group_by(key_places(old)).agg(made)).select(old.columns))


def shown(table: pl.DataFrame, stat: str, name: str) -> pl.Expr:
    """A statistic as float64."""
    if stat == COUNT:
        return pl.col(COUNT).cast(pl.Float64)
    if stat == "sum":
        return _total(table, name)
    if stat == "mean":
        return _mean(table, name)
    if stat in _SPREAD:
        filled = pl.col(f"filled@{name}")
        variance = pl.when(filled > 1).then(pl.col(f"spread@{name}") / (filled - 1))
        return variance.sqrt() if stat == "std" else variance
    return pl.col(f"{'low' if stat == 'min' else 'high'}@{name}")


def _total(table: pl.DataFrame, name: str) -> pl.Expr:
    return total({part: pl.col(f"{part}@{name}") for part in part_names(summed(table, name))})


def _mean(table: pl.DataFrame, name: str) -> pl.Expr:
    filled = pl.col(f"filled@{name}")
    return pl.when(filled > 0).then(_total(table, name) / filled)


def _between(name: str) -> pl.Expr:
    """What the parts' means add to the spread: their squared distances from the common one."""
    filled, mean = pl.col(f"filled@{name}"), pl.col(f"mean@{name}")
    common = (mean * filled).sum() / filled.sum()
    return ((mean - common) ** 2 * filled).sum().fill_nan(0.0)


def _spreads(table: pl.DataFrame) -> list[str]:
    return [name.removeprefix("spread@") for name in table.columns if name.startswith("spread@")]


def _rounded(table: pl.DataFrame) -> pl.DataFrame:
    made = []
    for name in _spreads(table):
        mantissa, exponent = np.frexp(table[f"spread@{name}"].to_numpy())
        rounded = np.ldexp(np.round(np.ldexp(mantissa, _BITS)), exponent - _BITS)
        made.append(pl.Series(f"spread@{name}", rounded))
    return table.with_columns(made)
