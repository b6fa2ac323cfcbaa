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
_INSIDE = "inside"
COLUMNS = (_LOW, _HIGH, _COUNT)


def sketch(frame: pl.LazyFrame, x: pl.Expr) -> pl.LazyFrame:
    """The bins of a column of float64, in any order; streams, and is a plan for any engine.

    Example:
        >>> frame = pl.LazyFrame({"x": [1.0, 1000.0, 1000.5, None]})
        >>> sketch(frame, pl.col("x")).sort("low").collect().rows()
        [(1.0, 1.0, 1), (1000.0, 1000.5, 2)]
    """
    return _bins(_values(frame, x)).select(COLUMNS)


def middle(frame: pl.LazyFrame, x: pl.Expr) -> pl.LazyFrame:
    """The bins of a column and, marked, each value in those of the middle ones: what `exact_median` reads.

    For engines that would hold a column at once to tell its median: here rows stream, and what is kept are the bins
    and the distinct values of one or two of them.

    Example:
        >>> found = middle(pl.LazyFrame({"x": [7.0, 1000.0, 1000.5, None]}), pl.col("x"))
        >>> found.sort("inside", "low").collect().rows()
        [(7.0, 7.0, 1, False), (1000.0, 1000.5, 2, False), (1000.0, 1000.0, 1, True), (1000.5, 1000.5, 1, True)]
    """
    values = _values(frame, x)
    bins = _bins(values)
    end, total = pl.col(_COUNT).cum_sum(), pl.col(_COUNT).sum()
    chosen = bins.sort(_BIN).filter((end > (total - 1) // 2) & (end - pl.col(_COUNT) <= total // 2))
    inside = values.join(chosen.select(_BIN), on=_BIN, how="semi").group_by(_LOW).agg(_len())
    single = inside.select(_LOW, pl.col(_LOW).alias(_HIGH), _COUNT, pl.lit(value=True).alias(_INSIDE))
    return pl.concat([bins.select(*COLUMNS, pl.lit(value=False).alias(_INSIDE)), single])


def exact_median(found: pl.DataFrame) -> tuple[float, pl.DataFrame]:
    """The median of what `middle` saw (not empty), and the sketch in order.

    Example:
        >>> frame = pl.LazyFrame({"x": [7.0, 1000.0, 1000.5, None]})
        >>> exact_median(middle(frame, pl.col("x")).collect())[0]
        1000.0
    """
    found = found.sort(_INSIDE, _LOW)
    bins, inside = (found.filter(pl.col(_INSIDE) == one).select(COLUMNS) for one in (False, True))
    before = bins.filter(pl.col(_HIGH) < inside[_LOW][0])[_COUNT].sum()
    ends, total = inside[_COUNT].cum_sum() + before, int(bins[_COUNT].sum())
    low, high = (float(inside[_LOW][_row(ends, place)]) for place in _middles(total))
    return _mean(low, high), bins


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
    low, high = (_value(bins, ends, place) for place in _middles(total))
    return _mean(low, high)


def _values(frame: pl.LazyFrame, x: pl.Expr) -> pl.LazyFrame:
    return frame.select(x.alias(_LOW), _bin(x).alias(_BIN)).filter(pl.col(_LOW).is_not_null())


def _bins(values: pl.LazyFrame) -> pl.LazyFrame:
    return values.group_by(_BIN).agg(pl.col(_LOW).min(), pl.col(_LOW).max().alias(_HIGH), _len())


def _len() -> pl.Expr:
    return pl.len().cast(pl.Int64).alias(_COUNT)


def _bin(x: pl.Expr) -> pl.Expr:
    """The number with BITS bits that is nearest to x (Veltkamp's splitting: two exact steps, no logarithm)."""
    x = x.clip(-LARGEST, LARGEST)
    scaled = x * _SPLITTER
    return scaled - (scaled - x)


def _middles(total: int) -> tuple[int, int]:
    """The places of the middle values, from 0."""
    return (total - 1) // 2, total // 2


def _mean(low: float, high: float) -> float:
    return low if low == high else low / 2 + high / 2


def _row(ends: pl.Series, place: int) -> int:
    """The row that holds the value at a place; `ends` count the values up to and with each row."""
    return int(ends.search_sorted(place, side="right"))


def _value(bins: pl.DataFrame, ends: pl.Series, place: int) -> float:
    """The value at a place (from 0), as if those of its bin lay evenly."""
    row = _row(ends, place)
    low, high, count = bins.row(row)
    if low == high or count == 1:
        return float(low)
    step = (place - (int(ends[row]) - count)) / (count - 1)
    value = low * (1 - step) + high * step
    return math.inf if math.isnan(value) else min(max(value, low), high)
