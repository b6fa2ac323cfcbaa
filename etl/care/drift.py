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
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

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
    return Reference(train).drift(other)


class Reference:
    """A column of the training rows, made ready to compare others with."""

    def __init__(self, train: pl.Series) -> None:
        self._train = train
        self._lists = isinstance(train.dtype, pl.List)
        flat = elements(train) if self._lists else train
        self._side = _Numbers(flat) if _ordered(flat) else _Values(flat)
        self._counts = self._side.counts(flat)
        self._sorted = np.sort(_numbers(train.list.len() if self._lists else train)) if self._has_order else None

    @property
    def _has_order(self) -> bool:
        return self._lists or _ordered(self._train)

    def drift(self, other: pl.Series) -> Drift | None:
        """How far another column lies from this one; None where either has no rows."""
        if not len(self._train) or not len(other):
            return None
        counts = self._side.counts(elements(other) if self._lists else other)
        nulls = float(other.null_count() / len(other) - self._train.null_count() / len(self._train))
        ks = None if self._sorted is None else _ks(self._sorted, _numbers(other.list.len() if self._lists else other))
        return Drift(
            psi=_round(_psi(self._counts, counts)),
            chance=_round(_chance(self._counts, counts)),
            js=_round(_js(self._counts, counts)),
            ks=None if ks is None else _round(ks),
            nulls=_round(nulls),
        )


class _Numbers:
    """Bins of numbers: the values themselves where they are few, else the deciles."""

    def __init__(self, train: pl.Series) -> None:
        known = np.sort(_numbers(train))
        distinct = known[np.concatenate([[True], known[1:] != known[:-1]])] if len(known) else known
        self._few = len(distinct) <= VALUES
        places = [min(int(at * len(known)), len(known) - 1) for at in DECILES]
        self._cuts = distinct if self._few else np.unique(known[places])

    def counts(self, values: pl.Series) -> list[int]:
        """Rows in each bin, then nulls."""
        known = _numbers(values)
        place = np.searchsorted(self._cuts, known, side="left")
        if self._few and len(self._cuts):
            # A bin holds its value alone; the last one holds the rest.
            met = self._cuts[np.minimum(place, len(self._cuts) - 1)] == known
            place = np.where(met, place, len(self._cuts))
        return [*np.bincount(place, minlength=len(self._cuts) + 1).tolist(), values.null_count()]


class _Values:
    """Bins of anything else: the most frequent values, ties by value, and the rest."""

    def __init__(self, train: pl.Series) -> None:
        counts = train.drop_nulls().alias("value").value_counts(name="n")
        self._frequent = counts.sort(["n", "value"], descending=[True, False]).head(VALUES)["value"].to_list()

    def counts(self, values: pl.Series) -> list[int]:
        """Rows in each bin, then nulls."""
        known = values.drop_nulls()
        met = known.filter(known.is_in(self._frequent)) if self._frequent else known.head(0)
        found = dict(met.alias("value").value_counts(name="n").iter_rows())
        own = [int(found.get(value, 0)) for value in self._frequent]
        return [*own, len(known) - sum(own), values.null_count()]


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


def _numbers(values: pl.Series) -> NDArray[Any]:
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


def _ks(left: NDArray[Any], values: NDArray[Any]) -> float | None:
    """Between sorted values and others."""
    right = np.sort(values)
    if not len(left) or not len(right):
        return None
    gap = 0.0
    for one, two in ((left, right), (right, left)):
        at = np.searchsorted(two, one, side="right") / len(two) - np.searchsorted(one, one, side="right") / len(one)
        gap = max(gap, float(np.abs(at).max()))
    return gap


def _round(value: float) -> float:
    return round(value, _DIGITS) + 0.0
