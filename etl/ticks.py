"""Progress of a lazy plan: rows are counted as they stream by."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from core.progress import progress
from etl.engines.base import Engine
from etl.ops.base import State
from etl.steps import Plan, split_reference


class _Meter:
    """Adds up parts of rows, and gives out whole ones; plans call it from several threads."""

    def __init__(self) -> None:
        self._lock, self._done, self._told = threading.Lock(), 0.0, 0

    def add(self, rows: int, rounds: int) -> int:
        with self._lock:
            self._done += rows / rounds
            fresh = round(self._done) - self._told
            self._told += fresh
        return fresh


@contextmanager
def counted(
    frame: pl.LazyFrame, what: str, rows: int | None, engine: Engine, *, whole: bool = False
) -> Iterator[pl.LazyFrame]:
    """Give the frame again, with a bar that counts its rows while plans made of it run.

    Only where the engine's plans may carry Python; elsewhere the bar shows the time alone until all is done. Plans
    that read the rows several times over (`Engine.rounds`) count each time as a part of a row. The callback is
    declared to stream and to let filters and selections pass, so plans stay what they were.

    Args:
        frame: What a plan will be made of.
        what: Shown beside the bar.
        rows: Rows that will stream by, over all passes, when that is known.
        engine: What will run the plan.
        whole: The plans read some of the rows here and all of them there (windows do), so a filter must not pass: each
            time counts in full.

    Example:
        >>> from etl.engines import CpuEngine
        >>> with counted(pl.LazyFrame({"a": [1, 2]}), "count", 2, CpuEngine()) as frame:
        ...     frame.select("a").collect(engine="streaming").height
        2
    """
    with progress(what, rows) as bar:
        if not engine.ticks:
            yield frame
            bar.advance(rows or 0)
            return

        meter = _Meter()

        def tick(batch: pl.DataFrame) -> pl.DataFrame:
            bar.advance(meter.add(batch.height, engine.rounds))
            return batch

        yield frame.map_batches(
            tick,
            streamable=True,
            projection_pushdown=True,
            predicate_pushdown=not whole,
            validate_output_schema=False,
        )


def passes(plan: Plan) -> int:
    """How often fitting a plan reads its rows: the longest chain of operators that learn.

    Example:
        >>> from etl.ops import FillMedian, LogOp, Normalize
        >>> from etl.workflow import Workflow
        >>> chain = ["age"] >> FillMedian() >> LogOp() >> Normalize()
        >>> passes(Workflow(chain).plan(pl.Schema({"age": pl.Int64()})))
        2
    """
    depth: dict[str, int] = {}
    for step in plan.steps:
        made_by = [split_reference(port)[1] for port in step.fit_reads.values()]
        learns = step.operator.state_type is not State
        depth[str(step.number)] = max((depth.get(place, 0) for place in made_by), default=0) + learns
    return max(depth.values(), default=0)
