"""What History and Rolling share: numbers made of the earlier events of a key."""

from __future__ import annotations

import abc
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from core.dataset import TARGET, TIME
from core.schema import Column, DType
from core.spec import custom_error, listed
from etl.ops.base import Collected, Statistics, Wiring
from etl.ops.declare import continuous, require_keys, require_numbers
from etl.ops.keyed import Groups, Key, keys_of
from etl.ops.sums import parts, require_summable, sum_scalars
from etl.ops.windows.base import Windowed
from etl.ops.windows.clock import Duration, Range, Unit, learn_range, merge_ranges, range_scalars
from etl.ops.windows.sums import EVENTS, summands

Stat = Literal["count", "sum", "mean", "rate", "since_last", "since_first"]
OF_COLUMNS = frozenset({"sum", "mean"})
"""Statistics that are made for each of `cont_cols`."""


@dataclass(frozen=True)
class Past(Range):
    """The range of times, and count and sum of the target where a rate is asked for (see `etl.ops.sums`)."""

    target: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """See `State`."""
        return asdict(self)

    @property
    def mean(self) -> float:
        """The mean of the target; 0 where none was seen."""
        count = self.target.get("count", 0)
        return (self.target["whole"] + self.target.get("rest", 0) / 2**32) / count if count else 0.0


class OverPast(Windowed[Past]):
    """Numbers made of the earlier events of a key; each column, or group of columns, is a key. See `History`."""

    state_type = Past
    columnwise = False

    stats: Annotated[tuple[Stat, ...], Field(min_length=1), BeforeValidator(listed)] = ("count",)
    cont_cols: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    target: str = TARGET
    delay: Duration = 0
    p_smooth: float = Field(default=20.0, ge=0)
    prior: float | None = None
    time: str = TIME
    unit: Unit | None = None
    groups: Groups = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        asked = [stat for stat in self.stats if stat in OF_COLUMNS]
        if asked and not self.cont_cols:
            raise custom_error("cont_cols", f"{asked[0]} needs the columns to make it of, in cont_cols")
        if self.cont_cols and not asked:
            raise custom_error("cont_cols", "cont_cols are for sum and mean, and stats has neither")
        return self

    @property
    def rated(self) -> tuple[str, ...]:
        """The target, where a rate of it is asked for."""
        return (self.target,) if "rate" in self.stats else ()

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Time, values and target, of the row and of earlier ones."""
        return tuple(dict.fromkeys((self.time, *self.cont_cols, *self.rated)))

    def own(self, columns: Collection[str]) -> frozenset[str]:
        """Its keys and the time; the numbers and the target are those of earlier rows."""
        return frozenset({*columns, self.time})

    def grouped(self, groups: Groups) -> Self:
        """Take groups of columns as keys."""
        return self.model_copy(update={"groups": groups})

    def keys(self, columns: Sequence[Column]) -> list[Key]:
        """The keys among the columns."""
        return keys_of(columns, self.groups)

    @abc.abstractmethod
    def names(self, key: Key) -> list[str]:
        """The outputs of a key."""

    def labels(self) -> list[str]:
        """Each statistic, of each column."""
        each = {stat: [f"{name}_{stat}" for name in self.cont_cols] for stat in OF_COLUMNS}
        return [label for stat in self.stats for label in each.get(stat, [stat])]

    def outputs(self, columns: Sequence[Column], state: Past | None = None) -> tuple[Column, ...]:
        """Declare continuous numbers."""
        require_keys(columns, self.kind)
        made = [(key, name) for key in self.keys(columns) for name in self.names(key)]
        return tuple(continuous(key.belongs, nullable=True).renamed(name) for key, name in made)

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """The range of times, sizes of what is summed, and the mean of the target."""
        scalars = range_scalars(wiring, [self.time])
        for name in (*self.cont_cols, *self.rated):
            require_numbers([wiring.columns[name]], self.kind)
            scalars |= sum_scalars(pl.col(wiring.inputs[name]), name)
        for name in self.rated:
            y = pl.col(wiring.inputs[name])
            made = {"count": y.is_not_null().cast(pl.Int64), **parts(y, wiring.columns[name])}
            scalars |= {f"target@{part}": value.sum() for part, value in made.items()}
        return Statistics(scalars)

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Past:
        """Check the times and the sizes."""
        found = learn_range(collected, [self.time], self.unit, self.kind)
        for name in (*self.cont_cols, *self.rated):
            # The type matters to the smallest values alone, and whole numbers are none of them.
            require_summable(collected.scalars, Column(name, DType.FLOAT64), self.kind)
        sums = {name.removeprefix("target@"): value for name, value in collected.scalars.items() if "target@" in name}
        return Past(found.low, found.high, sums if self.rated else {})

    def merge(self, old: Past, new: Past, columns: Sequence[Column]) -> Past:
        """The range of both; sums add up."""
        both = merge_ranges(old, new)
        sums = {part: value + (new.target.get(part) or 0) for part, value in old.target.items()}
        return Past(both.low, both.high, sums)

    def values(self, wiring: Wiring) -> dict[str, pl.Expr]:
        """What is summed of each event."""
        found: dict[str, pl.Expr] = {EVENTS: pl.lit(1, pl.Int64)}
        for name in dict.fromkeys((*self.cont_cols, *self.rated)):
            found |= summands(pl.col(wiring.inputs[name]), wiring.columns[name].renamed(name))
        return found
