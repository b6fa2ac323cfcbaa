"""What a key (a user, an item) did in the time just before the row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Self

import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from core.schema import Column
from core.spec import custom_error, listed
from etl.ops.base import Wiring
from etl.ops.keyed import Key
from etl.ops.windows.base import Window, sums_before
from etl.ops.windows.clock import Duration, bounded, seconds, ticks
from etl.ops.windows.history import STEPS
from etl.ops.windows.past import OverPast, Past
from etl.ops.windows.sums import Sums


class Rolling(OverPast):
    """What happened to a key within some time before the row; as `History`, but that older events no longer count.

    The window of a row at time t holds the events from t - delay - window, that moment included, up to t - delay,
    that moment not included. Outputs are called KEY_rolling_WINDOW_STAT (KEY_rolling_WINDOW_COLUMN_STAT).

    Args:
        stats: `count`, `sum`, `mean`, `rate`.
        cont_cols: Columns of numbers for `sum` and `mean`.
        target: Column for `rate`; by default the target of the run.
        delay: Only events that lie more than this far back.
        p_smooth: How many rows the prior weighs as.
        prior: The rate of a key without events; by default the mean of the target in the training rows.
        time: When; by default the time role of the run.
        unit: What whole numbers of that column count: s, ms, us, ns. Dates and times need none.
        groups: The columns of keys that have several.
        window: How long: `7d`, or seconds; or several of them.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"user": [1, 1, 1, 1], "at": [0, 40, 100, 150]})
        >>> rolling = Rolling("count", window=["1m", "1h"], time="at", unit="s")
        >>> Workflow(["user"] >> rolling).fit(frame).transform(frame).collect().rows()
        [(0.0, 0.0), (1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]
    """

    kind = "rolling"

    window: Annotated[tuple[Duration, ...], Field(min_length=1), BeforeValidator(listed)]

    @model_validator(mode="after")
    def _rolls(self) -> Self:
        for stat in self.stats:
            if stat in STEPS:
                raise custom_error("stats", f"{stat} is a statistic of history, not of rolling")
        for window in self.window:
            if seconds(window) <= 0:
                raise custom_error("window", f"a window is longer than 0, got {window!r}")
        return self

    def names(self, key: Key) -> list[str]:
        """See `OverPast`."""
        windows = [f"{window}s" if isinstance(window, int | float) else window for window in self.window]
        return [f"{key.label()}_rolling_{window}_{label}" for window in windows for label in self.labels()]

    def windows(self, columns: Sequence[Column], wiring: Wiring, state: Past) -> Iterator[Window]:
        """Running sums at the end of the window less those at its start."""
        time, values = bounded(wiring, self.time), self.values(wiring)
        prior = state.mean if self.prior is None else self.prior
        end = ticks(self.delay, self.unit)
        offsets = [end, *(ticks(seconds(self.delay) + seconds(window), self.unit) for window in self.window)]
        outputs = list(self._outputs(list(values), prior))
        for key in self.keys(columns):
            named = dict(zip(self.names(key), outputs, strict=True))
            make = partial(sums_before, keys=key.places, offsets=offsets)
            yield Window(key.names, time, values, make, named, moments=len(offsets))

    def _outputs(self, values: Sequence[str], prior: float) -> Iterator[pl.Expr]:
        for number in range(1, len(self.window) + 1):
            sums = Sums({name: pl.col(f"{name}@0") - pl.col(f"{name}@{number}") for name in values})
            for stat in self.stats:
                yield from sums.made(stat, self.cont_cols, self.target, self.p_smooth, prior)
