"""Sessions: runs of events of a key without a long pause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Literal, Self

import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from core.dataset import TIME as TIME_ROLE
from core.schema import Column, DType, Tag
from core.spec import custom_error, listed
from etl.ops.base import Collected, Statistics, Wiring
from etl.ops.declare import IDS, continuous, require_keys
from etl.ops.keyed import Groups, Key, keys_of
from etl.ops.windows.base import ROW, TIME, Window, Windowed
from etl.ops.windows.clock import (
    Duration,
    Range,
    Unit,
    bounded,
    in_seconds,
    learn_range,
    merge_ranges,
    range_scalars,
    seconds,
    ticks,
)

Stat = Literal["id", "number", "position", "elapsed", "pause"]


class Sessionize(Windowed[Range]):
    """Cut the events of a key into sessions: a pause of more than `gap` starts a new one.

    Each column (a user), or group of columns, is a key. Events stand in order of time, and as the rows stand where
    times are equal. Nothing here tells of later events, so the length of a session is not among it. A row whose key
    or time is null is in no session: all its values are null.

    Outputs are called KEY_session for the id, KEY_session_STAT else: `id`, a whole number that no two sessions
    share (the number of the row that the session starts with), to group or count by; `number`, the first session
    of the key is 1; `position`, the first event of the session is 1; `elapsed`, seconds since the session began;
    `pause`, seconds since the event before, null for the key's first. Models read all but the id.

    Args:
        gap: The longest pause within a session: `30m`, or seconds.
        stats: What to make; by default the id alone.
        time: When; by default the time role of the run.
        unit: What whole numbers of that column count: s, ms, us, ns. Dates and times need none.
        groups: The columns of keys that have several.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"user": [1, 2, 1, 1], "at": [0, 10, 60, 4000]})
        >>> sessions = Sessionize("30m", ["id", "number", "position", "elapsed"], time="at", unit="s")
        >>> Workflow(["user"] >> sessions).fit(frame).transform(frame).collect().rows()
        [(0, 1.0, 1.0, 0.0), (1, 1.0, 1.0, 0.0), (0, 1.0, 2.0, 60.0), (3, 2.0, 1.0, 0.0)]
    """

    kind = "sessions"
    state_type = Range
    columnwise = False

    gap: Duration
    stats: Annotated[tuple[Stat, ...], Field(min_length=1), BeforeValidator(listed)] = ("id",)
    time: str = TIME_ROLE
    unit: Unit | None = None
    groups: Groups = ()

    @model_validator(mode="after")
    def _parts(self) -> Self:
        if seconds(self.gap) <= 0:
            raise custom_error("gap", f"a gap is longer than 0, got {self.gap!r}")
        return self

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The time."""
        return (self.time,)

    def grouped(self, groups: Groups) -> Self:
        """Take groups of columns as keys."""
        return self.model_copy(update={"groups": groups})

    def outputs(self, columns: Sequence[Column], state: Range | None = None) -> tuple[Column, ...]:
        """Declare the id as an id of sessions, the others as continuous numbers."""
        require_keys(columns, self.kind)
        return tuple(
            _id_of(key).renamed(_name(key, stat))
            if stat == "id"
            else continuous(key.belongs, nullable=True).renamed(_name(key, stat))
            for key in keys_of(columns, self.groups)
            for stat in self.stats
        )

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """The range of times."""
        return Statistics(range_scalars(wiring, [self.time]))

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Range:
        """Check the times."""
        return learn_range(collected, [self.time], self.unit, self.kind)

    def merge(self, old: Range, new: Range, columns: Sequence[Column]) -> Range:
        """The range of both."""
        return merge_ranges(old, new)

    def windows(self, columns: Sequence[Column], wiring: Wiring, state: Range) -> Iterator[Window]:
        """Number the sessions of each key, then sum within each session."""
        time, gap = bounded(wiring, self.time), ticks(self.gap, self.unit)
        for key in keys_of(columns, self.groups):
            outputs = {_name(key, stat): self._made(stat) for stat in self.stats}
            yield Window(key.names, time, {}, partial(_sessions, keys=key.places, gap=gap), outputs)

    def _made(self, stat: Stat) -> pl.Expr:
        """An output, in its unit."""
        if stat in {"elapsed", "pause"}:
            return in_seconds(pl.col(stat), self.unit)
        return pl.col(stat) if stat == "id" else pl.col(stat).cast(pl.Float64)


def _sessions(found: pl.LazyFrame, keys: Sequence[str], gap: int) -> pl.LazyFrame:
    """ROW and every statistic, in the unit of the time."""
    pause = found.sort(TIME, ROW).with_columns(pl.col(TIME).diff().over(keys).alias("pause"))
    starts = pl.col("pause").is_null() | (pl.col("pause") > gap)
    started = pause.with_columns(starts.cast(pl.Int64).alias("starts"))
    numbered = started.with_columns(pl.col("starts").cum_sum().over(keys).alias("number"))
    first = pl.col("starts") == 1
    steps = numbered.with_columns(
        pl.when(first).then(pl.col(ROW)).otherwise(0).alias("id"),
        pl.lit(1, pl.Int64).alias("position"),
        pl.when(first).then(0).otherwise(pl.col("pause")).alias("elapsed"),
    )
    running = [pl.col(name).cum_sum().over([*keys, "number"]) for name in ("id", "position", "elapsed")]
    return steps.select(ROW, "number", "pause", *running)


def _name(key: Key, stat: Stat) -> str:
    return f"{key.label()}_session" if stat == "id" else f"{key.label()}_session_{stat}"


def _id_of(key: Key) -> Column:
    tags = key.belongs.tags - IDS - {Tag.CATEGORICAL, Tag.CONTINUOUS} | {Tag.SESSION_ID}
    return Column(key.label(), DType.INT64, tags)
