"""How often each value of a column occurs: what a vocabulary is made of.

A grouping by hash visits memory at random, and Polars' streaming one keeps every rare row until its end. Ids are rare
values for the most part. So the CPU sorts the keys of a column and counts runs: on ten million rows with 2.9 million
distinct ids 0.4 s of processor time against 2.2 s, and the values come in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

VALUE, COUNT = "value", "count"
_OFTEN = 65_535
"""Counts from here on are sorted by comparison, those below by digits, as NumPy sorts numbers of 16 bits."""


@dataclass(frozen=True, eq=False)
class Counting:
    """To count the values of a key, null left out: a table of `value` and `count`, `ranked` when an engine gives it.

    Attributes:
        frame: The rows.
        key: The key, as an expression over them.

    Example:
        >>> frame = pl.LazyFrame({"x": [7, None, 7]})
        >>> Counting(frame, pl.col("x")).plan().collect().rows()
        [(7, 2)]
    """

    frame: pl.LazyFrame
    key: pl.Expr

    def plan(self) -> pl.LazyFrame:
        """The same as a grouping, for engines that run nothing but plans."""
        keys = self.frame.select(self.key.alias(VALUE)).filter(pl.col(VALUE).is_not_null())
        return keys.group_by(VALUE).agg(pl.len().alias(COUNT))


def count_runs(keys: pl.Series) -> pl.DataFrame:
    """Count whole numbers by sorting them: `value` ascending and `count`.

    Example:
        >>> count_runs(pl.Series([7, 5, None, 7])).rows()
        [(5, 1), (7, 2)]
    """
    # Nulls come first. Where nobody else holds the keys, they go before the runs are made.
    keys = keys.sort()
    runs = keys.slice(keys.null_count()).rle().struct.unnest()
    return runs.select(pl.col("value").alias(VALUE), pl.col("len").alias(COUNT))


def added(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Add counts up that `count_runs` made of parts of the rows; `value` ascending again.

    Example:
        >>> added([count_runs(pl.Series([1, 2])), count_runs(pl.Series([2]))]).rows()
        [(1, 1), (2, 2)]
    """
    if len(parts) == 1:
        return parts[0]
    # Runs that are in order each are merged by a sort that sees it.
    together = pl.concat([part.cast({COUNT: pl.Int64}) for part in parts]).sort(VALUE)
    values, counts = together[VALUE].to_numpy(), together[COUNT].to_numpy()
    if not len(values):
        return together
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    sums = np.add.reduceat(counts, first, dtype=np.int64)
    return pl.DataFrame({VALUE: values[first], COUNT: sums})


def ranked(counts: pl.DataFrame) -> pl.DataFrame:
    """The same table with the most frequent value first, ties by value; `count` becomes Int64.

    Whole numbers are grouped by their counts, of which there are few, and then sorted group by group.

    Example:
        >>> ranked(pl.DataFrame({"value": [9, 5, 7], "count": [1, 1, 2]})).rows()
        [(7, 2), (5, 1), (9, 1)]
    """
    counts = counts.with_columns(pl.col(COUNT).cast(pl.Int64))
    if counts[VALUE].dtype != pl.Int64 or counts[VALUE].null_count():
        return counts.sort(COUNT, VALUE, descending=[True, False])
    if _is_ranked(counts[VALUE].to_numpy(), counts[COUNT].to_numpy()):
        return counts
    often = counts.filter(pl.col(COUNT) >= _OFTEN)
    return pl.concat([often.sort(COUNT, VALUE, descending=[True, False]), _ranked(counts, often.height)])


def _is_ranked(values: NDArray[np.int64], counts: NDArray[np.integer]) -> bool:
    above, same = counts[:-1] > counts[1:], counts[:-1] == counts[1:]
    return bool((above | (same & (values[:-1] < values[1:]))).all())


def _ranked(counts: pl.DataFrame, often: int) -> pl.DataFrame:
    """The values that occur less than `_OFTEN` times; `often`: how many others there are."""
    seldom = counts.filter(pl.col(COUNT) < _OFTEN) if often else counts
    number = _OFTEN - seldom[COUNT].to_numpy().astype(np.uint16)
    order = np.argsort(number, kind="stable")
    values, number = seldom[VALUE].to_numpy().take(order), number.take(order)
    del order
    start = 0
    for end in [*(np.flatnonzero(number[1:] != number[:-1]) + 1).tolist(), len(number)]:
        if end - start > 1:
            values[start:end].sort()
        start = end
    return pl.DataFrame({VALUE: values, COUNT: _OFTEN - number.astype(np.int64)})
