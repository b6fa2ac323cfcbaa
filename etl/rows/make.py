"""Rules that add columns made of other rows."""

from __future__ import annotations

import polars as pl
from pydantic import Field, field_validator

from etl.dataset.times import length_of
from etl.formula.parse import parse
from etl.formula.tree import names
from etl.ops.formula import checked
from etl.ops.windows.clock import Duration, Unit
from etl.rows.base import Given, Names, Rule, evaluated
from etl.rows.baskets import baskets
from etl.rows.repeats import repeats


class RepeatsRule(Rule):
    """Add an outcome for the target: does the key of a row occur again within some time? See `etl.rows.repeats`.

    The last rows, whose answer isn't known yet, are dropped.

    Attributes:
        key: Columns; a user and an item: is it bought again? A user alone: does somebody come back?
        within: How long: `14d`, or seconds.
        name: Of the column, for `etl.target`.
        unit: What whole numbers of the time column count: s, ms, us, ns. Dates and times need none.
    """

    kind = "repeats"

    key: Names
    within: Duration
    name: str = Field(default="repeats", min_length=1)
    unit: Unit | None = None

    @property
    def makes(self) -> tuple[str, ...]:
        """See `Rule`."""
        return (self.name,)

    def reads(self, given: Given) -> tuple[str, ...]:
        """See `Rule`."""
        return (*self.key, given.role("time", self.kind))

    def apply(self, frame: pl.LazyFrame, given: Given) -> pl.LazyFrame:
        """See `Rule`."""
        time = given.role("time", self.kind)
        dtype = frame.select(time).collect_schema()[time]
        return repeats(frame, self.key, length_of(self.within, time, dtype, self.unit), self.name)


class BasketsRule(Rule):
    """Add totals of what was bought together (`etl.rows.baskets`); whoever asks for a score gives them, as raw columns.

    Attributes:
        key: Column that tells baskets apart (an invoice).
        lines: Name of the column with the number of rows.
        sums: Name of a column -> formula of what to sum over the rows.
        span: The longest that a basket may last; what lasts longer is no single event.
        unit: What whole numbers of the time column count: s, ms, us, ns. Dates and times need none.
    """

    kind = "baskets"

    key: str = Field(min_length=1)
    lines: str | None = Field(default="basket_lines", min_length=1)
    sums: dict[str, str] = Field(default_factory=dict)
    span: Duration = 0
    unit: Unit | None = None

    @field_validator("sums")
    @classmethod
    def _check(cls, value: dict[str, str]) -> dict[str, str]:
        for formula in value.values():
            checked(formula)
        return value

    @property
    def makes(self) -> tuple[str, ...]:
        """See `Rule`."""
        return (*self.sums, *([] if self.lines is None else [self.lines]))

    def reads(self, given: Given) -> tuple[str, ...]:
        """See `Rule`."""
        inside = (name for formula in self.sums.values() for name in names(parse(formula)))
        return tuple(dict.fromkeys((self.key, given.role("time", self.kind), *inside)))

    def apply(self, frame: pl.LazyFrame, given: Given) -> pl.LazyFrame:
        """See `Rule`."""
        time = given.role("time", self.kind)
        dtype = frame.select(time).collect_schema()[time]
        span = length_of(self.span, time, dtype, self.unit) if self.span else 0
        places = {name: f"{name}__line__" for name in self.sums}
        for name, formula in self.sums.items():
            frame = evaluated(frame, formula, places[name])
        sums = {name: pl.col(place) for name, place in places.items()}
        return baskets(frame, self.key, sums, lines=self.lines, span=span).drop(places.values())
