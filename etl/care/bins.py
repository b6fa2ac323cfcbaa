"""Bins of a number's histogram, the same for every split, so that their shapes can be laid over one another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

MOST = 24
"""Largest number of bins."""
OUTER = (0.01, 0.99)
"""Quantiles between which the bins lie: one value far out would hide the rest."""


@dataclass(frozen=True)
class Bins:
    """Bins of equal width.

    Attributes:
        low: Where the first one starts.
        width: Of each.
        number: How many.
    """

    low: float
    width: float
    number: int

    @classmethod
    def of(cls, values: pl.Series) -> Bins | None:
        """Bins for these values, none of them null; None where they are all alike.

        Example:
            >>> Bins.of(pl.Series([1, 2, 3])).edges
            [1.0, 2.0, 3.0, 4.0]
        """
        whole = values.dtype.is_integer()
        low = values.quantile(OUTER[0], "lower" if whole else "linear")
        high = values.quantile(OUTER[1], "higher" if whole else "linear")
        if low is None or high is None or not math.isfinite(high - low) or not high > low:
            return None
        width = (high - low) / MOST
        if whole:
            # Whole numbers get bins of a whole width: else some would hold more numbers than others.
            low, width = math.floor(low), math.ceil((math.floor(high) + 1 - math.floor(low)) / MOST)
        return cls(low, width, min(MOST, math.floor((high - low) / width) + 1))

    @property
    def edges(self) -> list[float]:
        """Borders of the bins, one more than there are bins."""
        return [float(self.low + self.width * at) for at in range(self.number + 1)]

    def counts(self, values: pl.Series) -> list[int]:
        """How many of the values lie in each bin; those beyond are left out.

        Example:
            >>> Bins(0, 1, 2).counts(pl.Series([0.0, 0.5, 2.0, 9.0]))
            [2, 1]
        """
        number, top = values.cast(pl.Float64).to_numpy(), self.edges[-1]
        # The last border belongs to the last bin, unless whole numbers each have a bin of their own.
        inside = (number >= self.low) & (number < top if values.dtype.is_integer() else number <= top)
        place = np.floor((number[inside] - self.low) / self.width).clip(0, self.number - 1).astype(np.int64)
        return [int(count) for count in np.bincount(place, minlength=self.number)]
