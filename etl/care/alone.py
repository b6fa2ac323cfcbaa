"""How well one column alone tells the target: areas under the ROC curve, of samples."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from etl.values.mix import mix64

ENOUGH = 20
"""Rows of either class below which nothing is said."""
CODES = 100
"""Quantile bins of a number with more distinct values than that."""
_DIGITS = 6
_Ints: TypeAlias = NDArray[np.int64]


def auc(values: pl.Series, target: pl.Series) -> float | None:
    """Probability that a positive row has the larger value; ties count half. None for too few rows of a class.

    Nulls are left out.

    Example:
        >>> auc(pl.Series(range(100)), pl.Series([0.0] * 50 + [1.0] * 50))
        1.0
    """
    there = values.is_not_null()
    return _area(*_tally(_codes(values.filter(there)), _positive(target.filter(there))))


def alone(values: pl.Series, target: pl.Series) -> float | None:
    """The better of two AUCs, at least 0.5: by size, and by the rate of each value on the other half of the rows.

    The second one sees what has no order (strings) and what is not monotone; values seen once tell nothing there,
    so that an id is no leak. None for lists, and for too few rows of a class.

    Example:
        >>> alone(pl.Series(["yes", "no"] * 100), pl.Series([1.0, 0.0] * 100))
        1.0
    """
    if isinstance(values.dtype, pl.List) or not len(values):
        return None
    codes, positive = _codes(values), _positive(target)
    number = values.dtype.is_numeric() or values.dtype.is_temporal()
    known = [_by_rate(_binned(codes) if number else codes, positive)]
    if number:
        ones, zeros = _tally(codes, positive)
        # Code 0 stands for null: below all values, left out, or above them.
        orders = [(ones, zeros), (ones[1:], zeros[1:]), (np.roll(ones, -1), np.roll(zeros, -1))]
        known += [_sided(_area(*order)) for order in orders]
    found = [area for area in known if area is not None]
    return round(max(found), _DIGITS) if found else None


def presence(values: pl.Series, target: pl.Series) -> float | None:
    """AUC, at least 0.5, of whether there is a value at all; None where there always is one."""
    if not values.null_count():
        return None
    area = _sided(_area(*_tally(values.is_not_null().to_numpy().astype(np.int64), _positive(target))))
    return None if area is None else round(area, _DIGITS)


def _positive(target: pl.Series) -> _Ints:
    return (target > 0.5).to_numpy().astype(np.int64)


def _codes(values: pl.Series) -> _Ints:
    """Values as 1, 2, ... in their order; null is 0."""
    return values.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def _tally(codes: _Ints, positive: _Ints) -> tuple[_Ints, _Ints]:
    """Positive and other rows of each code."""
    size = int(codes.max(initial=0)) + 1
    ones = np.bincount(codes[positive == 1], minlength=size)
    return ones, np.bincount(codes, minlength=size) - ones


def _area(ones: _Ints, zeros: _Ints) -> float | None:
    """From the counts of both classes at each value, in order (Mann and Whitney, 1947)."""
    if min(ones.sum(), zeros.sum()) < ENOUGH:
        return None
    # Twice the pairs that are in order, so that ties stay whole numbers and the sum is exact.
    twice = int((ones * (2 * (np.cumsum(zeros) - zeros) + zeros)).sum())
    return twice / (2 * int(ones.sum()) * int(zeros.sum()))


def _sided(area: float | None) -> float | None:
    return None if area is None else max(area, 1 - area)


def _by_rate(codes: _Ints, positive: _Ints) -> float | None:
    """Rates are learned on half of the rows, chosen by a hash, and judged on the rest, both ways."""
    half = _half(len(codes))
    size = int(codes.max(initial=0)) + 1
    areas = []
    for side in (half, ~half):
        ones = np.bincount(codes[side], weights=positive[side], minlength=size)
        rates = (ones + positive[side].mean()) / (np.bincount(codes[side], minlength=size) + 1) if side.any() else ones
        _, order = np.unique(rates, return_inverse=True)
        areas.append(_area(*_tally(order[codes[~side]], positive[~side])))
    known = [area for area in areas if area is not None]
    return sum(known) / len(known) if known else None


def _binned(codes: _Ints) -> _Ints:
    """Quantile bins where there are many values; nulls keep theirs."""
    counts = np.bincount(codes)
    if (counts > 0).sum() <= CODES:
        return codes
    middles = np.cumsum(counts) - counts / 2
    bins = 1 + (middles * CODES / len(codes)).astype(np.int64)
    bins[0] = 0
    return np.asarray(bins[codes])


@lru_cache(maxsize=4)
def _half(rows: int) -> NDArray[np.bool_]:
    numbers = pl.DataFrame({"row": np.arange(rows, dtype=np.uint32)})
    return numbers.select(mix64("row", 0) % 2 == 1).to_series().to_numpy()
