"""Everything that a key (a user, an item) did before the row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import polars as pl

from core.schema import Column
from etl.ops.base import Wiring
from etl.ops.keyed import Key
from etl.ops.windows.base import ROW, TIME, Window, sums_before
from etl.ops.windows.clock import bounded, in_seconds, ticks
from etl.ops.windows.past import OverPast, Past
from etl.ops.windows.sums import EVENTS, Sums

STEPS = frozenset({"since_last", "since_first"})
"""Statistics that are made of the times of events."""


class History(OverPast):
    """What happened to a key before the row: each column (a user, an item), or group of columns, is a key.

    Only events that are strictly earlier count: not the row itself, nothing later, and nothing that happened at the
    same time. A row whose key or time is null has no history: all its values are null.

    Outputs are called KEY_history_STAT (KEY_history_COLUMN_STAT for `sum` and `mean`):
    `count`, how many events; `sum` and `mean` of a column, without values that are null (infinite ones are refused
    in training rows and count for nothing later); `rate`, the mean of the target smoothed with `p_smooth` rows of
    the prior; `since_last` and `since_first`, seconds since the last
    and the first event, null where there is none.

    Args:
        stats: What to make.
        cont_cols: Columns of numbers for `sum` and `mean`.
        target: Column for `rate`; by default the target of the run.
        delay: Only events that lie more than this far back: `1d`, or seconds. For labels that come late.
        p_smooth: How many rows the prior weighs as.
        prior: The rate of a key without history; by default the mean of the target in the training rows, one number
            for all rows.
        time: When; by default the time role of the run.
        unit: What whole numbers of that column count: s, ms, us, ns. Dates and times need none.
        groups: The columns of keys that have several.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"user": [1, 1, 2, 1], "at": [10, 20, 20, 50], "price": [4.0, 6.0, 9.0, 1.0]})
        >>> history = History(["count", "mean", "since_last"], "price", time="at", unit="s")
        >>> for row in Workflow(["user"] >> history).fit(frame).transform(frame).collect().rows():
        ...     print(row)
        (0.0, None, None)
        (1.0, 4.0, 10.0)
        (0.0, None, None)
        (2.0, 5.0, 30.0)
    """

    kind = "history"

    def names(self, key: Key) -> list[str]:
        """See `OverPast`."""
        return [f"{key.label()}_history_{label}" for label in self.labels()]

    def windows(self, columns: Sequence[Column], wiring: Wiring, state: Past) -> Iterator[Window]:
        """Running sums up to the time of the row less the delay."""
        time, values = bounded(wiring, self.time), self.values(wiring)
        prior = state.mean if self.prior is None else self.prior
        outputs = list(self._outputs(list(values), prior))
        for key in self.keys(columns):
            named = dict(zip(self.names(key), outputs, strict=True))
            yield Window(key.names, time, values, partial(self._before, keys=key.places), named, moments=1)

    def _before(self, found: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
        stepped = _with_steps(found, keys) if STEPS.intersection(self.stats) else found
        return sums_before(stepped, keys, [ticks(self.delay, self.unit)])

    def _outputs(self, values: Sequence[str], prior: float) -> Iterator[pl.Expr]:
        sums = Sums({name: pl.col(f"{name}@0") for name in values})
        for stat in self.stats:
            if stat in STEPS:
                since = in_seconds(pl.col(TIME) - pl.col(f"{stat}@0"), self.unit)
                yield pl.when(pl.col(f"{EVENTS}@0") > 0).then(since)
            else:
                yield from sums.made(stat, self.cont_cols, self.target, self.p_smooth, prior)


def _with_steps(found: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """Add values whose running sums are the times of the last and of the first event.

    The time of an event is that of the first one and all steps from each event to the next.
    """
    step = pl.col(TIME).diff().over(keys)
    ordered = found.sort(TIME, ROW).with_columns(step.alias("since_last"))
    first = pl.col("since_last").is_null()
    return ordered.with_columns(
        pl.when(first).then(pl.col(TIME)).otherwise(pl.col("since_last")).alias("since_last"),
        pl.when(first).then(pl.col(TIME)).otherwise(0).alias("since_first"),
    )
