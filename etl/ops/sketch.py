"""Sketches of numbers, from which a median is told within a stated error.

A sketch is a table of bins with the number of values in each, the smallest and the largest of them. Bins lie at the
numbers with BITS significant bits, so they are as narrow as 1/256 of their values (the idea of DDSketch, with bins
of equal width within an octave). Which bins there are, and what they hold, depends on the values alone: sketches of
parts, merged, are the sketch of the whole.
"""

from __future__ import annotations

import math

import polars as pl

BITS = 9
"""Significant bits of a bin's place."""
ERROR = 2.0 ** (1 - BITS)
"""The quantile that a sketch tells is wrong by at most this share of its value."""
LARGEST = 2.0**900
"""Values beyond share one bin, which ERROR doesn't hold for: the arithmetic below would overflow."""
_SPLITTER = 2.0 ** (53 - BITS) + 1
_BIN, _COUNT, _LOW, _HIGH = "bin", "count", "low", "high"
COLUMNS = (_LOW, _HIGH, _COUNT)


def sketch(frame: pl.LazyFrame, x: pl.Expr) -> pl.LazyFrame:
    """The bins of a column of float64, in any order; streams, and is a plan for any engine.

    Example:
        >>> frame = pl.LazyFrame({"x": [1.0, 1000.0, 1000.5, None]})
        >>> sketch(frame, pl.col("x")).sort("low").collect().rows()
        [(1.0, 1.0, 1), (1000.0, 1000.5, 2)]
    """
    values = frame.select(x.alias(_LOW), _bin(x).alias(_BIN)).filter(pl.col(_LOW).is_not_null())
    bins = values.group_by(_BIN).agg(
        pl.col(_LOW).min(), pl.col(_LOW).max().alias(_HIGH), pl.len().cast(pl.Int64).alias(_COUNT)
    )
    return bins.select(COLUMNS)


def merge(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """The sketch of what two sketches saw, in order.

    Example:
        >>> parts = [sketch(pl.LazyFrame({"x": [x]}), pl.col("x")).collect() for x in (4.0, 1.0, 4.0)]
        >>> merge(merge(parts[0], parts[1]), parts[2]).rows()
        [(1.0, 1.0, 1), (4.0, 4.0, 2)]
    """
    both = pl.concat([old, new]).with_columns(_bin(pl.col(_LOW)).alias(_BIN))
    merged = both.group_by(_BIN).agg(pl.col(_LOW).min(), pl.col(_HIGH).max(), pl.col(_COUNT).sum())
    return merged.select(COLUMNS).sort(_LOW)


def median(bins: pl.DataFrame) -> float:
    """The median of what a sketch (in order, not empty) saw: the middle value, or the mean of the two.

    Each of them lies between the ends of its bin, so it is within ERROR of itself; it is exact where a bin holds
    one value, or the same again and again, or two.

    Example:
        >>> median(sketch(pl.LazyFrame({"x": [1.0, 2.0, 10.0, 20.0]}), pl.col("x")).sort("low").collect())
        6.0
    """
    ends = bins[_COUNT].cum_sum()
    total = int(ends[-1])
    low, high = (_value(bins, ends, place) for place in ((total - 1) // 2, total // 2))
    return low if low == high else low / 2 + high / 2


def _bin(x: pl.Expr) -> pl.Expr:
    """The number with BITS bits that is nearest to x (Veltkamp's splitting: two exact steps, no logarithm)."""
    x = x.clip(-LARGEST, LARGEST)
    scaled = x * _SPLITTER
    return scaled - (scaled - x)


def _value(bins: pl.DataFrame, ends: pl.Series, place: int) -> float:
    """The value at a place (from 0), as if those of its bin lay evenly."""
    row = int(ends.search_sorted(place, side="right"))
    low, high, count = bins.row(row)
    if low == high or count == 1:
        return float(low)
    step = (place - (int(ends[row]) - count)) / (count - 1)
    value = low * (1 - step) + high * step
    return math.inf if math.isnan(value) else min(max(value, low), high)
