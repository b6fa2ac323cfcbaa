"""What a calendar and a clock say of a time."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

import polars as pl
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from core.errors import UserError
from core.schema import Column
from core.spec import custom_error, listed
from etl.onnx import GraphBuilder, Value, cast_to, is_null, to_float, where
from etl.ops.base import Collected, Operator, Statistics, Wiring
from etl.ops.calendar import DAY, PARTS, Moment, Node, Part
from etl.ops.declare import SIGNED, categorical, continuous
from etl.ops.windows.clock import TICKS, Range, Unit, learn_range, merge_ranges, range_scalars

Name = Literal["hour", "minute", "weekday", "is_weekend", "day", "day_of_year", "week", "month", "quarter"]
"""Parts that come back, as in `PARTS`."""
WAVES = {"sin": math.sin, "cos": math.cos}
_MOST_HOURS = 26.0


def _moment(text: str) -> str:
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        raise custom_error(
            "reference", f"the reference is a date or time like 2026-01-31T12:00, got {text!r}"
        ) from None
    return text


@dataclass(frozen=True)
class Clock:
    """How a time column is read: ticks in a second, and ticks to add."""

    per_second: int
    shift: int


class TimeFeatures(Operator[Range]):
    """Hour, weekday and the like of a time, how long ago it was, and waves that have no jump at midnight.

    A column of dates, times or whole numbers gives COLUMN_PART for each of `parts`: ids for the parts that come back
    (weekday 0 is Monday; week is the ISO week; is_weekend is 1 on Saturday and Sunday), with one id more, the last,
    for null; numbers for `year` and for `recency`, the days from the time to the reference, negative after it. Each of
    `cyclic` gives COLUMN_PART_sin and COLUMN_PART_cos, the place on a circle that its values go around once; null lies
    at its centre, (0, 0). Year and recency of null are null. NVTabular has no such operator.

    Args:
        parts: hour, minute, weekday, is_weekend, day (of the month), day_of_year, week, month, quarter, year, recency.
        cyclic: The same, but the last two.
        reference: What recency is counted to (2026-01-31, 2026-01-31T12:00); by default the latest time of the
            training rows.
        offset: Hours to add first, for times in UTC: 1 for Oslo in winter. A served graph knows no time zones.
        unit: What whole numbers of the column count: s, ms, us, ns. Dates and times need none.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"at": [dt.date(1969, 12, 31), dt.date(2024, 2, 29)]})
        >>> features = TimeFeatures(["weekday", "month", "year", "recency"])
        >>> Workflow(["at"] >> features).fit(frame).transform(frame).collect().rows()
        [(2, 12, 1969.0, 19783.0), (3, 2, 2024.0, 0.0)]
    """

    kind = "time_features"
    state_type = Range

    parts: Annotated[tuple[Name | Literal["year", "recency"], ...], BeforeValidator(listed)] = ("hour", "weekday")
    cyclic: Annotated[tuple[Name, ...], BeforeValidator(listed)] = ()
    reference: Annotated[str, AfterValidator(_moment)] | None = None
    offset: float = Field(default=0.0, ge=-_MOST_HOURS, le=_MOST_HOURS)
    unit: Unit | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.parts and not self.cyclic:
            raise custom_error("parts", "name at least one of the parts, or of the cyclic ones")
        return self

    @property
    def clock(self) -> Clock:
        """How the column is read."""
        per_second = TICKS[self.unit or "us"]
        return Clock(per_second, round(self.offset * 3_600 * per_second))

    def outputs(self, columns: Sequence[Column], state: Range | None = None) -> tuple[Column, ...]:
        """Declare ids for the parts that come back, numbers for the others."""
        return tuple(made.renamed(name) for column in columns for name, made in self._outputs(column))

    def _outputs(self, column: Column) -> Iterator[tuple[str, Column]]:
        _require_times(column, self.kind)
        for part in self.parts:
            known = PARTS.get(part)
            made = continuous(column) if known is None else categorical(column, known.last + 2)
            yield f"{column.name}_{part}", made
        for part in self.cyclic:
            yield from ((f"{column.name}_{part}_{wave}", continuous(column, nullable=False)) for wave in WAVES)

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """The range of each column."""
        return Statistics(range_scalars(wiring, [column.name for column in columns]))

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Range:
        """Check the unit, and keep the latest time."""
        return learn_range(collected, [column.name for column in columns], self.unit, self.kind)

    def merge(self, old: Range, new: Range, columns: Sequence[Column]) -> Range:
        """The range of both: the reference moves on with the data."""
        return merge_ranges(old, new)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: Range) -> pl.LazyFrame:
        """Whole-number arithmetic, which every engine has."""
        for column in columns:
            outputs = {name: wiring.outputs[name] for name, _ in self._outputs(column)}
            held = _Held(frame, f"{next(iter(outputs.values()))}!")
            ticks = pl.col(wiring.inputs[column.name]).cast(pl.Int64)
            values = dict(self._expressions(ticks, held, self._reference(state, column.name)))
            made = [value.alias(outputs[f"{column.name}_{name}"]) for name, value in values.items()]
            frame = held.frame.with_columns(made).drop(held.names)
        return frame

    def _expressions(self, ticks: pl.Expr, held: _Held, reference: int) -> Iterator[tuple[str, pl.Expr]]:
        moment = Moment(ticks + self.clock.shift, self.clock.per_second, held)
        for name in self.parts:
            if name == "recency":
                yield name, (float(reference) - ticks.cast(pl.Float64)) * self._days
            elif name == "year":
                yield name, moment.date[0].cast(pl.Float64)
            else:
                yield name, PARTS[name].of(moment).fill_null(PARTS[name].last + 1).cast(pl.Int32)
        for name in self.cyclic:
            part, value = PARTS[name], PARTS[name].of(moment)
            for wave, heights in _waves(part).items():
                keys = range(part.first, part.last + 1)
                yield (
                    f"{name}_{wave}",
                    value.replace_strict(keys, heights, default=0.0, return_dtype=pl.Float64).fill_null(0.0),
                )

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: Range
    ) -> dict[str, Value]:
        """The same arithmetic on int64."""
        made = {}
        for column in columns:
            x = inputs[column.name]
            ticks, null = cast_to(graph, x, "int64"), is_null(graph, x)
            for name, value in self._nodes(graph, ticks, null, self._reference(state, column.name)):
                made[f"{column.name}_{name}"] = value
        return made

    def _nodes(self, graph: GraphBuilder, ticks: Value, null: Value, reference: int) -> Iterator[tuple[str, Value]]:
        nothing, centre = (graph.constant(value, "float64") for value in (math.nan, 0.0))
        moment = Moment(Node(graph, ticks) + self.clock.shift, self.clock.per_second)
        for name in self.parts:
            if name == "recency":
                ago = graph.op(
                    "Sub", graph.constant(float(reference), "float64"), to_float(graph, ticks), dtype="float64"
                )
                yield name, graph.op("Mul", ago, graph.constant(self._days, "float64"), dtype="float64")
            elif name == "year":
                year = cast_to(graph, moment.date[0].value, "float64")
                yield name, where(graph, null, nothing, year)
            else:
                last = graph.constant(PARTS[name].last + 1, "int64")
                yield name, where(graph, null, last, PARTS[name].of(moment).value)
        for name in self.cyclic:
            place = (PARTS[name].of(moment) - PARTS[name].first).value
            for wave, heights in _waves(PARTS[name]).items():
                height = graph.op("Gather", graph.constant(heights, "float64"), place, dtype="float64")
                yield f"{name}_{wave}", where(graph, null, centre, height)

    @property
    def _days(self) -> float:
        """Days in a tick."""
        return 1 / (DAY * self.clock.per_second)

    def _reference(self, state: Range, name: str) -> int:
        """What recency is counted to, in ticks."""
        if self.reference is None:
            return state.high[name]
        moment = dt.datetime.fromisoformat(self.reference)
        known = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        since = known - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        return (since // dt.timedelta(microseconds=1)) * self.clock.per_second // 1_000_000


@dataclass
class _Held:
    """Makes a value a column of the frame, so that what is made of it does not repeat how it came about."""

    frame: pl.LazyFrame
    prefix: str
    names: list[str] = field(default_factory=list)

    def __call__(self, value: pl.Expr) -> pl.Expr:
        name = f"{self.prefix}{len(self.names)}"
        self.frame = self.frame.with_columns(value.alias(name))
        self.names.append(name)
        return pl.col(name)


def _waves(part: Part) -> dict[str, list[float]]:
    """Heights of the waves at each value, from the first."""
    turns = [2 * math.pi * step / part.period for step in range(part.period)]
    return {name: [wave(turn) for turn in turns] for name, wave in WAVES.items()}


def _require_times(column: Column, kind: str) -> None:
    if column.dtype not in SIGNED:
        raise UserError(
            f"{kind} takes dates, times or whole numbers, got {column.dtype.value}",
            where=f"column {column.name}",
            cure="read it as a datetime",
        )
