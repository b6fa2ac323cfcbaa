"""Drift: how far a column of the validation or the test rows lies from the training rows.

Four figures, each of a sample whose size is bounded and whose rows are chosen by hash:

- PSI, the population stability index: the sum over bins of (p - q) ln(p / q), p and q the shares of either side.
  Bins are the training deciles of a number and the `VALUES` most frequent training values of anything else, then
  one for all other values and one for null. Usual reading: below 0.1 alike, from 0.25 a large shift.
- JS, the Jensen-Shannon distance of the same shares, base 2: 0 where they are equal, 1 where they share nothing.
- KS, the two-sample Kolmogorov-Smirnov statistic of a number: the largest gap between the two distribution
  functions, without bins. Of a column of lists: of their lengths.
- The share of nulls, less that of the training rows.

Sources: Lin (1991), Divergence measures based on the Shannon entropy; Yurdakul (2018), Statistical properties of
population stability index (for the size that chance alone gives).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

LARGE = 0.25
"""PSI from which a column is said to drift."""
NULLS = 0.1
"""Change of the share of nulls from which a column is said to drift."""
VALUES = 20
"""Frequent values with a bin of their own."""
DECILES = tuple(tenth / 10 for tenth in range(1, 10))
_HALF = 0.5
_DIGITS = 6
_ONCE_IN_A_THOUSAND = 3.0902
"""Quantile .999 of the normal distribution."""


@dataclass(frozen=True)
class Drift:
    """How far one side lies from the training rows.

    Attributes:
        psi: Population stability index.
        chance: The PSI that equal distributions of these sizes exceed once in a thousand times.
        js: Jensen-Shannon distance.
        ks: Kolmogorov-Smirnov statistic; None for what has no order.
        nulls: Share of nulls, less that of the training rows.
    """

    psi: float
    chance: float
    js: float
    ks: float | None
    nulls: float

    @property
    def large(self) -> bool:
        """Whether the column is said to drift; few rows alone never say so."""
        return self.psi >= max(LARGE, self.chance) or (abs(self.nulls) >= NULLS and self.psi >= self.chance)


def drift(train: pl.Series, other: pl.Series) -> Drift | None:
    """Compare a column of two splits; None where one of them has no rows.

    Example:
        >>> train = pl.Series([0] * 500 + [1] * 500)
        >>> found = drift(train, pl.Series([0] * 100 + [1] * 900))
        >>> found.psi, found.js, found.ks, found.large
        (0.875366, 0.383136, 0.4, True)
    """
    if not len(train) or not len(other):
        return None
    nulls = float(other.null_count() / len(other) - train.null_count() / len(train))
    if isinstance(train.dtype, pl.List):
        ks = _ks(train.list.len(), other.list.len())
        train, other = elements(train), elements(other)
    else:
        ks = _ks(train, other) if _ordered(train) else None
    counts = [_counts(values, _cuts(train), _frequent(train)) for values in (train, other)]
    psi, js = _psi(*counts), _js(*counts)
    return Drift(_round(psi), _round(_chance(*counts)), _round(js), None if ks is None else _round(ks), _round(nulls))


def elements(values: pl.Series) -> pl.Series:
    """The elements of lists, one after the other; an empty list and a null have none.

    Example:
        >>> elements(pl.Series([[1, 2], [], None])).to_list()
        [1, 2]
    """
    flat = values.drop_nulls().explode(empty_as_null=False)
    return flat.fill_nan(None) if flat.dtype.is_float() else flat


def _ordered(values: pl.Series) -> bool:
    return values.dtype.is_numeric() or values.dtype.is_temporal()


def _cuts(train: pl.Series) -> list[float] | None:
    """Borders between the bins of a number with many values; None where the values themselves are the bins."""
    if not _ordered(train) or train.drop_nulls().n_unique() <= VALUES:
        return None
    known = _numbers(train)
    return sorted({float(np.quantile(known, at, method="lower")) for at in DECILES})


def _frequent(train: pl.Series) -> pl.Series:
    """The most frequent values, ties by value."""
    counts = train.drop_nulls().alias("value").value_counts(name="n")
    return counts.sort(["n", "value"], descending=[True, False]).head(VALUES)["value"]


def _counts(values: pl.Series, cuts: Sequence[float] | None, frequent: pl.Series) -> list[int]:
    """Rows in each bin, then in the rest, then nulls."""
    known, nulls = values.drop_nulls(), values.null_count()
    if cuts is not None:
        place = np.searchsorted(np.asarray(cuts), _numbers(values), side="left")
        return [*np.bincount(place, minlength=len(cuts) + 1).tolist(), nulls]
    found = dict(known.alias("value").value_counts(name="n").iter_rows())
    own = [int(found.get(value, 0)) for value in frequent]
    return [*own, len(known) - sum(own), nulls]


def _numbers(values: pl.Series) -> np.ndarray:
    """The values that are there, as numbers that sort as they do."""
    known = values.drop_nulls()
    return known.to_physical().to_numpy() if known.dtype.is_temporal() else known.cast(pl.Float64).to_numpy()


def _psi(train: Sequence[int], other: Sequence[int]) -> float:
    """Half a row is added to each bin, so that an empty one gives a large number and not an infinite one."""
    total = 0.0
    sizes = [sum(side) + _HALF * len(side) for side in (train, other)]
    for left, right in _used(train, other):
        p, q = (left + _HALF) / sizes[0], (right + _HALF) / sizes[1]
        total += (p - q) * math.log(p / q)
    return total


def _js(train: Sequence[int], other: Sequence[int]) -> float:
    sizes, divergence = [max(sum(side), 1) for side in (train, other)], 0.0
    for left, right in _used(train, other):
        p, q = left / sizes[0], right / sizes[1]
        middle = (p + q) / 2
        divergence += sum(_HALF * share * math.log2(share / middle) for share in (p, q) if share)
    return math.sqrt(max(divergence, 0.0))


def _chance(train: Sequence[int], other: Sequence[int]) -> float:
    """PSI of equal distributions is about (1/n + 1/m) times a chi-squared of bins - 1 degrees of freedom.

    Its quantile by the cube of Wilson and Hilferty (1931).
    """
    freedom = max(len(_used(train, other)) - 1, 1)
    part = 2 / (9 * freedom)
    quantile = freedom * (1 - part + _ONCE_IN_A_THOUSAND * math.sqrt(part)) ** 3
    return quantile * (1 / max(sum(train), 1) + 1 / max(sum(other), 1))


def _used(train: Sequence[int], other: Sequence[int]) -> list[tuple[int, int]]:
    """Bins that anything lies in."""
    return [pair for pair in zip(train, other, strict=True) if any(pair)]


def _ks(train: pl.Series, other: pl.Series) -> float | None:
    left, right = (np.sort(_numbers(side)) for side in (train, other))
    if not len(left) or not len(right):
        return None
    grid = np.concatenate([left, right])
    gaps = np.searchsorted(left, grid, side="right") / len(left) - np.searchsorted(right, grid, side="right") / len(
        right
    )
    return float(np.abs(gaps).max())


def _round(value: float) -> float:
    return round(value, _DIGITS) + 0.0
