"""The calendar in whole-number arithmetic: the same formulas over Polars expressions and over values of a graph.

Proleptic Gregorian, as ISO 8601 has it, for any year; days count from 1970-01-01, which was a Thursday. The steps
from a day to year and month follow Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from etl.onnx import GraphBuilder, Value, cast_to

DAY = 86_400
"""Seconds."""


@dataclass(frozen=True)
class Node:
    """A whole number of a serving graph, int64."""

    graph: GraphBuilder
    value: Value

    def __add__(self, other: Node | int) -> Node:
        return self._made("Add", other)

    def __sub__(self, other: Node | int) -> Node:
        return self._made("Sub", other)

    def __mul__(self, other: Node | int) -> Node:
        return self._made("Mul", other)

    def __floordiv__(self, other: int) -> Node:
        """Division in ONNX rounds towards zero, so a negative rest takes one more off."""
        quotient = self._made("Div", other)
        rest = self - quotient * other
        negative = self.graph.op("Less", rest.value, self.graph.constant(0, "int64"), dtype="bool")
        return quotient - Node(self.graph, cast_to(self.graph, negative, "int64"))

    def _made(self, kind: str, other: Node | int) -> Node:
        right = other.value if isinstance(other, Node) else self.graph.constant(other, "int64")
        return Node(self.graph, self.graph.op(kind, self.value, right, dtype="int64"))


def rest(x: Any, n: int) -> Any:
    """What a division by n leaves, from 0 to n - 1."""
    return x - x // n * n


Hold = Callable[[Any], Any]
"""Takes a value that several others are made of; what it gives is used in its place."""


def _same(x: Any) -> Any:
    return x


def year_month_day(day: Any, hold: Hold = _same) -> tuple[Any, Any, Any]:
    """Year, month (1 to 12) and day of the month (1 to 31).

    The count starts in March, so that a leap day ends its year; 400 years have 146,097 days.

    Example:
        >>> year_month_day(-1), year_month_day(11_016)
        ((1969, 12, 31), (2000, 2, 29))
    """
    shifted = day + 719_468
    era = hold(shifted // 146_097)
    of_era = hold(shifted - era * 146_097)
    year = hold((of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365)
    of_year = hold(of_era - (year * 365 + year // 4 - year // 100))
    march = hold((of_year * 5 + 2) // 153)
    late = march // 10
    return hold(year + era * 400 + late), hold(march + 3 - late * 12), of_year - (march * 153 + 2) // 5 + 1


def new_year(year: Any) -> Any:
    """The first day of a year.

    Example:
        >>> new_year(1970), new_year(2001)
        (0, 11323)
    """
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 - 719_162


@dataclass(frozen=True)
class Moment:
    """A point in time; what is asked for is computed once.

    Attributes:
        ticks: Since 1970 began.
        per_second: Ticks in a second.
        hold: See `Hold`.
    """

    ticks: Any
    per_second: int
    hold: Hold = _same

    @cached_property
    def day(self) -> Any:
        """Days since 1970-01-01."""
        return self.hold(self.ticks // (DAY * self.per_second))

    @cached_property
    def second(self) -> Any:
        """Seconds since midnight."""
        return self.hold((self.ticks - self.day * (DAY * self.per_second)) // self.per_second)

    @cached_property
    def weekday(self) -> Any:
        """Monday is 0."""
        return self.hold(rest(self.day + 3, 7))

    @cached_property
    def date(self) -> tuple[Any, Any, Any]:
        """Year, month and day of the month."""
        return year_month_day(self.day, self.hold)

    @cached_property
    def day_of_year(self) -> Any:
        """The first of January is 1."""
        return self.day - new_year(self.date[0]) + 1

    @cached_property
    def week(self) -> Any:
        """The ISO week, 1 to 53: it belongs to the year of its Thursday."""
        thursday = self.hold(self.day - self.weekday + 3)
        year, _, _ = year_month_day(thursday, self.hold)
        return (thursday - new_year(year)) // 7 + 1


@dataclass(frozen=True)
class Part:
    """A part of a time that comes back again and again.

    Attributes:
        first: Its smallest value.
        last: Its largest.
        of: How it is computed.
    """

    first: int
    last: int
    of: Callable[[Moment], Any]

    @property
    def period(self) -> int:
        """How many values it has."""
        return self.last - self.first + 1


PARTS: Mapping[str, Part] = {
    "hour": Part(0, 23, lambda at: at.second // 3_600),
    "minute": Part(0, 59, lambda at: rest(at.second // 60, 60)),
    "weekday": Part(0, 6, lambda at: at.weekday),
    "is_weekend": Part(0, 1, lambda at: at.weekday // 5),
    "day": Part(1, 31, lambda at: at.date[2]),
    "day_of_year": Part(1, 366, lambda at: at.day_of_year),
    "week": Part(1, 53, lambda at: at.week),
    "month": Part(1, 12, lambda at: at.date[1]),
    "quarter": Part(1, 4, lambda at: (at.date[1] + 2) // 3),
}
"""Name -> part."""
