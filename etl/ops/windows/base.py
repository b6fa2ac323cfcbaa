"""What operators over the events of a key share.

The events of a key are its rows in order of time, and of their number where times are equal. Rows whose key or time
is null belong to nobody: they see nothing and nobody sees them.

A window works on a narrow frame (numbers of rows, keys, time, values): sorted by time once, then sums and shifts
within each key. GPU engines have no other windows than those (no asof join, no rolling by time), and they keep the
order of a sorted frame within a key. The result is joined back by the number of the row. All this is held in memory,
but for many rows on the CPU, which are laid on disk by key (`etl.spill`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl

from core.errors import UserError
from core.schema import Column, DType
from etl.ops.base import Operator, S, Serving, Wiring
from etl.ops.declare import SIGNED
from etl.ops.keyed import places
from etl.ops.keys import key_expression
from etl.spill import Work

ROW, TIME, KIND = "row", "time", "kind"
"""Columns of a narrow frame."""


@dataclass(frozen=True)
class Window:
    """What an operator makes of the events of one key, or group of keys.

    Attributes:
        keys: The columns that say whose events, by plain name.
        time: When; None: the order of rows alone counts.
        values: What to carry along.
        make: Makes of what `events` gave a narrow frame with ROW and what `outputs` reads.
        outputs: Plain name -> expression over that frame.
        zeros: Those that are 0 instead of null.
        moments: How many moments each event is compared with.
    """

    keys: Sequence[str]
    time: pl.Expr | None
    values: Mapping[str, pl.Expr]
    make: Callable[[pl.LazyFrame], pl.LazyFrame]
    outputs: Mapping[str, pl.Expr]
    zeros: Collection[str] = ()
    moments: int = 0

    @property
    def places(self) -> list[str]:
        """The key columns of what `events` gives."""
        return places(len(self.keys))

    def result(self, events: pl.LazyFrame, wiring: Wiring) -> pl.LazyFrame:
        """ROW and the outputs under the names that they get in the wide frame."""
        named = [value.alias(wiring.outputs[name]) for name, value in self.outputs.items()]
        return self.make(events).select(ROW, *named)


class Windowed(Operator[S]):
    """An operator over earlier events. In serving, whoever asks gives its outputs."""

    windowed = True
    numbered = True
    serving = Serving.CALLER

    @property
    def owners(self) -> tuple[str, ...]:
        """The columns that say whose events are looked at, where these are not the columns it is applied to."""
        return ()

    @property
    def times(self) -> tuple[str, ...]:
        """The columns that say when: every window has a setting `time`."""
        time = getattr(self, "time", None)
        return (time,) if time else ()

    @abstractmethod
    def windows(self, columns: Sequence[Column], wiring: Wiring, state: S) -> Iterator[Window]:
        """What it makes, one key after another."""

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: S) -> pl.LazyFrame:
        """Add what each window makes, by the number of the row."""
        for window in self.windows(columns, wiring, state):
            found = events(frame, wiring, window.keys, window.time, window.values)
            make = partial(window.result, wiring=wiring)
            if wiring.spill is None:
                frame = join_back(frame, make(found), wiring)
            else:
                work = Work(found, ROW, window.places, make, 1 + window.moments)
                frame = wiring.spill.put(frame, wiring.row, work)
            frame = frame.with_columns(pl.col(wiring.outputs[name]).fill_null(0) for name in window.zeros)
        return frame


def events(
    frame: pl.LazyFrame, wiring: Wiring, keys: Sequence[str], time: pl.Expr | None, values: Mapping[str, pl.Expr]
) -> pl.LazyFrame:
    """The narrow frame: ROW, TIME, the keys as `key0` and on, and the values; without rows of nobody.

    Args:
        frame: The wide frame.
        wiring: Where columns lie in it.
        keys: Columns, by plain name.
        time: When; None: the order of rows alone counts.
        values: What to carry along.
    """
    source = frame if wiring.narrow is None else wiring.narrow
    made = {place: key(wiring, name) for place, name in zip(places(len(keys)), keys, strict=True)}
    when = {} if time is None else {TIME: time}
    known = source.select(pl.col(wiring.row).cast(pl.Int64).alias(ROW), **when, **made, **values)
    return known.filter(pl.all_horizontal(pl.col(name).is_not_null() for name in (*made, *when)))


def key(wiring: Wiring, name: str) -> pl.Expr:
    """A column as a key.

    Raises:
        UserError: It holds real numbers or lists.
    """
    column = wiring.columns[name]
    if column.is_list or column.dtype not in SIGNED | {DType.STRING}:
        held = "lists" if column.is_list else column.dtype.value
        raise UserError(
            f"a key is a whole number or a text, got {held}", where=f"column {name}", cure="put categorify before"
        )
    return key_expression(pl.col(wiring.inputs[name]), column)


def join_back(frame: pl.LazyFrame, made: pl.LazyFrame, wiring: Wiring) -> pl.LazyFrame:
    """Add to the wide frame what a narrow one holds beside ROW, by the number of the row."""
    number = f"{wiring.row}!{next(iter(wiring.outputs.values()))}"
    left = frame.with_columns(pl.col(wiring.row).cast(pl.Int64).alias(number))
    right = made.rename({ROW: number})
    joined = left.join(right, on=number, how="left", maintain_order="left" if wiring.ordered else "none")
    return joined.drop(number)


def sums_before(events: pl.LazyFrame, keys: Sequence[str], offsets: Sequence[int]) -> pl.LazyFrame:
    """Of every value, the sum over the key's events that happened before the row's time less each offset.

    Every event is doubled by a mark for each offset, which stands before whatever happens at its time, carries no
    value of its own, and finds in the running sum what came before.

    Args:
        events: What `events` gave, with values that are integers, none of them null.
        keys: Names of the key columns in it.
        offsets: In the unit of the time.

    Returns:
        ROW, `VALUE@N` for the offset number N, and, where there is one offset, TIME.
    """
    last = len(offsets)
    values = [name for name in events.collect_schema().names() if name not in {ROW, TIME, *keys}]
    kinds = pl.LazyFrame(
        {"one": [0] * (last + 1), KIND: range(last + 1), "less": [*offsets, 0]},
        schema={"one": pl.Int64, KIND: pl.Int64, "less": pl.Int64},
    )
    event = pl.col(KIND) == last
    marked = (
        events.with_columns(one=pl.lit(0, pl.Int64))
        .join(kinds, on="one")
        .select(
            ROW,
            KIND,
            *keys,
            (pl.col(TIME) - pl.col("less")).alias(TIME),
            *(pl.when(event).then(pl.col(name)).otherwise(0).alias(name) for name in values),
        )
    )
    # The last kind is the event itself: marks of the same time come before it.
    ordered = marked.sort(TIME, KIND, ROW)
    running = ordered.select(ROW, TIME, KIND, *(pl.col(name).cum_sum().over(keys) for name in values)).filter(~event)
    if last == 1:
        now = pl.col(TIME) + offsets[0]
        return running.select(ROW, now, *(pl.col(name).alias(f"{name}@0") for name in values))
    found = [
        pl.when(pl.col(KIND) == number).then(pl.col(name)).max().alias(f"{name}@{number}")
        for number in range(last)
        for name in values
    ]
    return running.group_by(ROW).agg(found)
