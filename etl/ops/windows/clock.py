"""Times and durations: what a whole number in a time column counts, and a guard against the wrong answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import AfterValidator, Field

from core.dataset import TIME
from core.errors import UserError
from core.schema import DType
from core.spec import custom_error
from etl.ops.base import Collected, State, Wiring

Unit = Literal["s", "ms", "us", "ns"]
"""What a whole number of a time column counts. Dates and times arrive as microseconds."""
TICKS: Mapping[str, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""How many make a second."""
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_WORD = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_LONGEST = 10**11
"""Seconds, three thousand years: in nanoseconds, half of what 64 bits hold would be left at a tenth of it."""
_EARLY = 4_200_000_000_000
"""Microseconds: what lies closer to 1970 is more likely to be seconds or milliseconds of our days."""
_LATE = 253_402_300_800_000_000
"""Microseconds: the year 10000."""
_ERA = (315_532_800_000_000, 4_200_000_000_000_000)
"""Microseconds: the years 1980 to 2103. As nanoseconds, four to forty-nine days after the start of 1970."""
MOST = 2**62
"""Times are cut off here, so that a duration can be taken from any of them."""


def seconds(duration: float | str) -> float:
    """A duration in seconds.

    Example:
        >>> seconds("1.5h"), seconds(90)
        (5400.0, 90.0)
    """
    if not isinstance(duration, str):
        return float(duration)
    found = _WORD.fullmatch(duration.strip())
    if found is None:
        told = f"a duration is a number of seconds, or a number with s, m, h, d or w (30m, 7d), got {duration!r}"
        raise custom_error("duration", told)
    return float(found[1]) * _SECONDS[found[2]]


def _checked(duration: float | str) -> float | str:
    length = seconds(duration)
    if not 0 <= length <= _LONGEST:
        raise custom_error("duration", f"a duration is at least 0 and at most {_LONGEST} seconds, got {duration!r}")
    return duration


Duration = Annotated[Annotated[int, Field(strict=True)] | float | str, AfterValidator(_checked)]
"""Seconds, or text: 30m, 12h, 7d, 2w."""


def ticks(duration: float | str, unit: Unit | None) -> int:
    """A duration in the unit of the time column.

    Example:
        >>> ticks("2m", "ms")
        120000
    """
    return min(round(seconds(duration) * TICKS[unit or "us"]), MOST)


def in_seconds(value: pl.Expr, unit: Unit | None) -> pl.Expr:
    """A difference of times as seconds, float64."""
    return value.cast(pl.Float64) / float(TICKS[unit or "us"])


def bounded(wiring: Wiring, time: str) -> pl.Expr:
    """The time of each row, Int64.

    Raises:
        UserError: The column holds no whole numbers, dates or times.
    """
    column = wiring.columns.get(time)
    if column is not None and column.dtype not in {DType.INT32, DType.INT64}:
        raise UserError(
            f"times are dates, times or whole numbers, got {column.dtype.value}",
            where=f"column {time}",
            cure="read it as a datetime, or make it whole numbers with `expression`",
        )
    return pl.col(wiring.inputs[time]).cast(pl.Int64).clip(-MOST, MOST)


@dataclass(frozen=True)
class Range(State):
    """The earliest and the latest time of the training rows, by column."""

    low: dict[str, int]
    high: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """See `State`."""
        return asdict(self)


def range_scalars(wiring: Wiring, times: Sequence[str]) -> dict[str, pl.Expr]:
    """What `learn_range` reads."""
    found = {name: bounded(wiring, name) for name in times}
    low = {f"low@{name}": time.min() for name, time in found.items()}
    return low | {f"high@{name}": time.max() for name, time in found.items()}


def learn_range(collected: Collected, times: Sequence[str], unit: Unit | None, kind: str) -> Range:
    """Earliest and latest times.

    Raises:
        UserError: The numbers are not of the unit that was given, or none of microseconds where none was; or there is
            no time at all.
    """
    low, high = ({name: collected.scalars[f"{end}@{name}"] for name in times} for end in ("low", "high"))
    for name in times:
        if low[name] is not None and high[name] is not None:
            _require_time(name, low[name], high[name], unit, kind)
    return Range(low, high)


def merge_ranges(old: Range, new: Range) -> Range:
    """The range of both; an update may hold no value."""
    both = {
        name: [(one.low[name], one.high[name]) for one in (old, new) if one.low[name] is not None] for name in old.low
    }
    return Range(
        {name: min(low for low, _ in found) for name, found in both.items()},
        {name: max(high for _, high in found) for name, found in both.items()},
    )


def _require_time(name: str, low: int, high: int, unit: Unit | None, kind: str) -> None:
    if name == TIME and low == high == 0:
        raise UserError(
            f"{kind} needs to know when things happened, and the data have no time role",
            where=f"column {name}",
            cure="name the column in `data.roles.time`, or in the operator's `time`",
        )
    largest = max(abs(low), abs(high))
    if unit is None and (largest < _EARLY or largest >= _LATE):
        likely = "ns" if largest >= _LATE else "s" if largest < _EARLY // 100 else "ms"
        raise UserError(
            f"{kind} takes whole numbers as microseconds, and read so these lie around 1970 or beyond the year 9999 "
            f"({low} to {high})",
            where=f"column {name}",
            cure=f"say what they count: `unit: {likely}`, it seems (`unit: us` if they are right)",
        )
    if unit == "ns" and _ERA[0] <= largest < _ERA[1]:
        raise UserError(
            f"{kind} takes these as `unit: ns`, and read so they lie in early 1970 ({low} to {high}); dates and times "
            "are microseconds",
            where=f"column {name}",
            cure="leave `unit` out for dates and times; give what counts from a start of its own in microseconds",
        )
    if unit not in {None, "us"} and largest >= _LATE * TICKS[unit] // TICKS["us"]:
        raise UserError(
            f"{kind} takes these as `unit: {unit}`, and read so they lie beyond the year 9999 ({low} to {high})",
            where=f"column {name}",
            cure="leave `unit` out for dates and times, which are microseconds; for whole numbers say what they count",
        )
