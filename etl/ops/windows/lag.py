"""What a column held at the events before the row, of the same key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Self

import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from core.dataset import TIME as TIME_ROLE
from core.schema import Column, Tag
from core.spec import custom_error, listed
from etl.ops.base import Collected, Statistics, Wiring
from etl.ops.declare import IDS, continuous
from etl.ops.keyed import places
from etl.ops.windows.base import ROW, TIME, Window, Windowed, sums_before
from etl.ops.windows.clock import Duration, Range, Unit, bounded, learn_range, merge_ranges, range_scalars, ticks
from etl.ops.windows.sums import EVENTS

LAST = "last"
"""The number of a key's last row before this one, in a narrow frame."""


class Lag(Windowed[Range]):
    """The value of a column at the key's last event before the row, the one before that, and so on.

    Only events that are strictly earlier count, as in `History`; among events of the same time the later row is the
    later event. Null where there is none. Outputs are called COLUMN_lag_SHIFT and are of the same kind as the
    column; ids that categorify gave stay ids of the same vocabulary, with 0 (padding) where there is no event. Put
    it before categorify, so that whoever asks for a score gives raw values.

    Args:
        partition_cols: Whose events: one or several columns.
        shift: How many events to look back, 1 by default; or several of them.
        delay: Only events that lie more than this far back: `1d`, or seconds.
        time: When; by default the time role of the run.
        unit: What whole numbers of that column count: s, ms, us, ns. Dates and times need none.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"user": [1, 1, 2, 1], "at": [10, 20, 25, 30], "film": ["a", "b", "c", "d"]})
        >>> fitted = Workflow(["film"] >> Lag("user", [1, 2], time="at", unit="s")).fit(frame)
        >>> fitted.transform(frame).collect().rows()
        [(None, None), ('a', None), (None, None), ('b', 'a')]
    """

    kind = "lag"
    state_type = Range

    partition_cols: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(listed)]
    shift: Annotated[tuple[int, ...], Field(min_length=1), BeforeValidator(listed)] = (1,)
    delay: Duration = 0
    time: str = TIME_ROLE
    unit: Unit | None = None

    @model_validator(mode="after")
    def _earlier(self) -> Self:
        for shift in self.shift:
            if shift < 1:
                raise custom_error("shift", f"shift counts events back, from 1 on, got {shift}")
        return self

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The keys and the time."""
        return (*self.partition_cols, self.time)

    def own(self, columns: Collection[str]) -> frozenset[str]:
        """The keys and the time; the columns are those of earlier rows."""
        return frozenset(self.dependencies)

    @property
    def owners(self) -> tuple[str, ...]:
        """See `Windowed`."""
        return self.partition_cols

    def outputs(self, columns: Sequence[Column], state: Range | None = None) -> tuple[Column, ...]:
        """Declare each column again for each shift."""
        return tuple(_lagged(column).renamed(_name(column, shift)) for column in columns for shift in self.shift)

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
        """Find the last event before the row, and join what it and those before it held."""
        keys = places(len(self.partition_cols))
        values = {f"x{index}": pl.col(wiring.inputs[column.name]) for index, column in enumerate(columns)}
        held = {
            _name(column, shift): pl.col(name) if shift == 1 else pl.col(name).shift(shift - 1).over(keys)
            for name, column in zip(values, columns, strict=True)
            for shift in self.shift
        }
        pads = [name for column in columns if Tag.CATEGORICAL in column.tags for name in self._names(column)]
        time, make = bounded(wiring, self.time), partial(self._lagged, keys=keys, held=held)
        outputs = {name: pl.col(name) for name in held}
        yield Window(self.partition_cols, time, values, make, outputs, pads, moments=1)

    def _lagged(self, found: pl.LazyFrame, keys: Sequence[str], held: Mapping[str, pl.Expr]) -> pl.LazyFrame:
        ordered = found.sort(TIME, ROW)
        values = ordered.select(pl.col(ROW).alias(LAST), *(value.alias(name) for name, value in held.items()))
        last = _last(ordered.select(ROW, TIME, *keys), keys, ticks(self.delay, self.unit))
        return last.join(values, on=LAST, how="left")

    def _names(self, column: Column) -> list[str]:
        return [_name(column, shift) for shift in self.shift]


def _last(ordered: pl.LazyFrame, keys: Sequence[str], offset: int) -> pl.LazyFrame:
    """ROW, and LAST where there is an earlier event: the sum of all steps from row number to row number."""
    step = pl.col(ROW).diff().over(keys)
    stepped = ordered.with_columns(pl.lit(1, pl.Int64).alias(EVENTS), step.alias(LAST))
    whole = stepped.with_columns(pl.when(pl.col(LAST).is_null()).then(pl.col(ROW)).otherwise(pl.col(LAST)).alias(LAST))
    before = sums_before(whole, keys, [offset])
    return before.select(ROW, pl.when(pl.col(f"{EVENTS}@0") > 0).then(pl.col(f"{LAST}@0")).alias(LAST))


def _name(column: Column, shift: int) -> str:
    return f"{column.name}_lag_{shift}"


def _lagged(column: Column) -> Column:
    if Tag.CATEGORICAL in column.tags:
        return replace(column, tags=column.tags - IDS, nullable=False)
    if Tag.CONTINUOUS in column.tags:
        return continuous(column, nullable=True, dtype=column.dtype)
    return replace(column, tags=column.tags - IDS, nullable=True)
