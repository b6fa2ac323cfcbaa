"""Polars' streaming engine: every core, out of core."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from polars.io.partition import FileProviderArgs

from core.dataset import ROW, SPLIT, SPLITS
from etl import spill
from etl.engines.base import COMPRESSION, PART, ROW_GROUP, Engine, Sunk, count_parts, number_parts, rows_in
from etl.engines.counts import AT_WORK, Group, groups_of
from etl.engines.failures import translated
from etl.engines.reads import reads
from etl.engines.slices import paced, rows_at_once
from etl.values.counting import Counting, ranked
from etl.values.kept import give_back, kept

AT_ONCE = 4
"""Plans computed together. Polars' streaming group_by holds about 20 bytes a row while it runs, so counting many
columns of texts at once takes as much more memory; four at a time take no more processor time, as each plan decodes
its own columns."""
ONE_BY_ONE = pl.QueryOptFlags(comm_subplan_elim=False)
"""Of a sink: a plan that reads its rows for the frame and for a window reads them twice. Shared, they would all be held
in memory until the window is done: 3 million rows of 43 columns took 1.5 GB, and 1.0 GB so."""

_BESIDE = ("aside", "fold_in")
"""Where rows go that are in no split, for a moment, in the order of their numbers behind those of SPLITS."""


class CpuEngine(Engine):
    """Runs plans with Polars on the CPU. Rows keep their order and results don't depend on the number of threads.

    Example:
        >>> CpuEngine().collect([pl.LazyFrame({"a": [1, 2]}).select(pl.col("a").sum())])[0].item()
        3
    """

    name = "cpu"
    ticks = True

    _rows: int | None = None

    def expect(self, rows: int, columns: int) -> None:
        """See `Engine.expect`: the number of rows decides how many columns are counted at once."""
        self._rows = rows

    def source(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """See `Engine.source`: Parquet is read no faster than it is worked on."""
        return paced(frame)

    @contextmanager
    def spilling(self, frame: pl.LazyFrame) -> Iterator[None]:
        """See `Engine.spilling`: windows of many rows are computed part by part (`etl.spill`)."""
        before, rows = self._rows, self._rows
        if rows is None:
            with translated(self.name):
                rows = frame.select(pl.len()).collect(engine="streaming").item()
        if rows < spill.SMALL_ROWS or self.spill is not None:
            yield
            return
        with spill.spill_in(self.workplace, rows) as made:
            self.spill, self._rows = made, rows
            try:
                yield
            finally:
                self.spill, self._rows = None, before

    def collect(self, frames: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        """See `Engine.collect`."""
        return self.compute(frames)

    def compute(self, frames: Sequence[pl.LazyFrame | Counting]) -> list[pl.DataFrame]:
        """See `Engine.compute`: whole numbers are sorted and their runs counted (`etl.engines.counts`)."""
        with translated(self.name):
            groups = groups_of(frames, self._rows)
            grouped = {place for group in groups for place in group.keys}
            plans = {place: _plan(one) for place, one in enumerate(frames) if place not in grouped}
            once = reads([*plans.values()], AT_ONCE) if plans else 0
            self._fill(max(1, once + sum(group.reads for group in groups)))
            found = dict(zip(plans, _collect([*plans.values()]), strict=True))
            found |= {place: kept(ranked(found[place])) for place in plans if isinstance(frames[place], Counting)}
            with ThreadPoolExecutor(AT_WORK) as pool:
                for counted in pool.map(Group.count, groups):
                    found |= counted
        self.rounds = 1
        return [found[place] for place in range(len(frames))]

    def sink(self, frame: pl.LazyFrame, directory: Path, *, row_group_size: int = ROW_GROUP) -> Sunk:
        """See `Engine.sink`. One pass over the source writes every split, slice by slice where that can be done."""
        for split in (*SPLITS, *_BESIDE):
            (directory / split).mkdir(parents=True, exist_ok=True)
        with translated(self.name):
            give_back()
            self._fill(reads([frame], 1, ONE_BY_ONE))
            frame = frame.drop(ROW, strict=False)
            rows, start = rows_at_once(frame, row_group_size), 0
            while True:
                part = frame if rows is None else frame.slice(start, rows)
                written = _sink(part, directory, row_group_size, 0 if rows is None else start // rows)
                if rows is None or written < rows:
                    break
                start += rows
                give_back()
        self.rounds = 1
        # Cheaper than a filter, which would copy every row of data sets that set none aside.
        for beside in _BESIDE:
            shutil.rmtree(directory / beside, ignore_errors=True)
        for split in SPLITS:
            # A slice may hold no row of a split.
            number_parts(directory / split)
        return count_parts(directory)

    def _fill(self, rounds: int) -> None:
        """Compute the windows of what runs next, which itself reads the rows so often."""
        self.rounds = rounds
        if self.spill is not None:
            self.rounds += self.spill.waiting
            try:
                with translated(self.name):
                    self.spill.fill()
            except OSError as error:
                raise self.spill.refused(error) from error


def _plan(one: pl.LazyFrame | Counting) -> pl.LazyFrame:
    return one.plan() if isinstance(one, Counting) else one


def _collect(frames: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
    done: list[pl.DataFrame] = []
    while len(done) < len(frames):
        done += pl.collect_all(frames[len(done) : len(done) + AT_ONCE], engine="streaming")
    return done


def _sink(frame: pl.LazyFrame, directory: Path, row_group_size: int, number: int) -> int:
    """Write one part of each split, and tell the rows of all of them."""
    written: list[Path] = []

    def place(args: FileProviderArgs) -> str:
        split = (*SPLITS, *_BESIDE)[args.partition_keys.item()]
        name = f"{split}/{PART.format(number)}"
        written.append(directory / name)
        return name

    target = pl.PartitionBy(
        directory, key=SPLIT, include_key=False, file_path_provider=place, approximate_bytes_per_file=None
    )
    frame.sink_parquet(
        target,
        compression=COMPRESSION,
        row_group_size=row_group_size,
        engine="streaming",
        optimizations=ONE_BY_ONE,
    )
    return rows_in(written)
