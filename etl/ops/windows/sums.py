"""Sums over earlier events, as expressions: counts, sums, means and smoothed means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from core.schema import Column
from etl.ops.sums import parts, total

EVENTS = "events"
"""The value that counts events."""


def summands(x: pl.Expr, column: Column) -> dict[str, pl.Expr]:
    """What is summed of a column: integers, none of them null.

    Values that are null or infinite count for nothing.
    """
    made = parts(x, column)
    counted = made["whole"].is_not_null().cast(pl.Int64)
    return {f"count:{column.name}": counted} | {f"{part}:{column.name}": x.fill_null(0) for part, x in made.items()}


@dataclass(frozen=True)
class Sums:
    """The sums over some earlier events.

    Attributes:
        of: Name of a value (EVENTS, and what `summands` calls them) -> its sum, an integer.
    """

    of: Mapping[str, pl.Expr]

    def count(self) -> pl.Expr:
        """How many events."""
        return self.of[EVENTS].cast(pl.Float64)

    def sum(self, name: str) -> pl.Expr:
        """The sum of a column; 0 without events."""
        return total({part: self.of[f"{part}:{name}"] for part in ("whole", "rest") if f"{part}:{name}" in self.of})

    def mean(self, name: str) -> pl.Expr:
        """The mean of a column; null where no event has a value."""
        values = self.of[f"count:{name}"]
        return pl.when(values > 0).then(self.sum(name) / values.cast(pl.Float64))

    def rate(self, name: str, p_smooth: float, prior: float) -> pl.Expr:
        """The mean of a column as if `p_smooth` more events had shown the prior; null where nothing weighs."""
        weight = self.of[f"count:{name}"].cast(pl.Float64) + p_smooth
        return pl.when(weight > 0).then((self.sum(name) + p_smooth * prior) / weight)

    def made(self, stat: str, columns: Sequence[str], target: str, p_smooth: float, prior: float) -> Iterator[pl.Expr]:
        """The outputs of one statistic by name: one, or one for each of the columns."""
        if stat == "count":
            yield self.count()
        elif stat == "rate":
            yield self.rate(target, p_smooth, prior)
        else:
            yield from (self.sum(name) if stat == "sum" else self.mean(name) for name in columns)
