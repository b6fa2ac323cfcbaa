"""Running fitted steps over a wide frame, with narrow frames for those that look at other rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from etl.engines.base import Engine
from etl.steps import Step, needed

Opened = Callable[[set[str]], pl.LazyFrame]
"""Starts a wide frame with the raw columns that these references are made of."""


def apply_steps(
    wide: pl.LazyFrame, steps: Sequence[Step], engine: Engine, opened: Opened, *, ordered: bool
) -> pl.LazyFrame:
    """Add the outputs of some steps to a wide frame.

    A window works on a frame of its own, made anew of the raw columns that it reads: taken from the wide frame, each
    would hold all its columns, and compute all windows before it once more.

    Args:
        wide: The frame.
        steps: In order; all that they read is made by them or raw.
        engine: What will run the query.
        opened: Starts another frame of the same rows.
        ordered: Joins must keep the order of rows.
    """
    for step in steps:
        narrow = None
        if step.operator.windowed:
            before, wanted = needed(step.planned.reads.values(), steps)
            narrow = apply_steps(opened(wanted), before, engine, opened, ordered=False)
        wide = step.apply(wide, engine, ordered=ordered, narrow=narrow)
    return wide
