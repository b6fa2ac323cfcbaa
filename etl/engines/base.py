"""What an engine is: the one door through which a lazy plan becomes rows.

Plans are ordinary Polars frames. An engine says only where they run and how their result reaches the disk. The one
that runs no plans (NVTabular) has a fit and a transform of its own instead.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import polars as pl

from core.dataset import SPLITS
from etl.values.counting import Counting, ranked

if TYPE_CHECKING:
    from etl.fitted import Fitted
    from etl.spill import Spill
    from etl.workflow import Workflow

ROW_GROUP = 65_536
"""Rows of one row group: what a loader reads at once."""
COMPRESSION: Final = "lz4"
"""Measured on 1M Criteo-like rows: writes 1.35x faster than zstd and reads as fast or faster, for 1.3x the bytes."""
PART = "part-{:05d}.parquet"


@dataclass(frozen=True)
class Sunk:
    """What a sink wrote: files by split, and rows by split, in the order of `core.dataset.SPLITS`."""

    files: dict[str, tuple[Path, ...]]
    rows: dict[str, int]


class Engine(abc.ABC):
    """Runs lazy frames.

    Attributes:
        name: How a config and a manifest call it.
        ordered: A result keeps the order of its rows. Where not, the engine restores it by ROW when it sinks,
            and plans may join without keeping order.
        staged: Sources must first be written as numbered Parquet (a declared step on the CPU), because the
            engine can't number the rows of a scan without holding them all at once.
        ticks: Plans may carry Python callbacks that count rows.
        rounds: In how many goes what runs now reads the rows; what counts rows divides by it.
        workplace: Where temporary files go; None: where the system has them.
        spill: Where windows lay their rows, while `spilling` lasts and there are many of them.
    """

    name: str
    ordered: bool = True
    staged: bool = False
    ticks: bool = False
    rounds: int = 1
    workplace: Path | None = None
    spill: Spill | None = None

    @contextmanager
    def spilling(self, frame: pl.LazyFrame) -> Iterator[None]:
        """Promise that plans over these rows, written while this lasts, are run by this engine while it lasts.

        An engine may then compute windows beforehand, and lay them on disk; most don't.
        """
        yield

    def expect(self, rows: int, columns: int) -> None:  # noqa: B027 - most engines have nothing to choose
        """Hear how large the data are that the next plans read; an engine may choose by it how to run them."""

    def source(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The same rows as this engine would rather read them; every plan over raw rows begins here."""
        return frame

    @abc.abstractmethod
    def collect(self, frames: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        """Compute frames; those that run together share their scans.

        Raises:
            UserError: The engine can't run a plan, or a source can't be read.
        """

    def compute(self, frames: Sequence[pl.LazyFrame | Counting]) -> list[pl.DataFrame]:
        """Compute what a fit asks for; by `collect`, unless the engine has a way of its own to count values.

        Raises:
            UserError: The engine can't run a plan, or a source can't be read.
        """
        found = self.collect([frame.plan() if isinstance(frame, Counting) else frame for frame in frames])
        return [ranked(one) if isinstance(frame, Counting) else one for one, frame in zip(found, frames, strict=True)]

    @abc.abstractmethod
    def sink(self, frame: pl.LazyFrame, directory: Path, *, row_group_size: int = ROW_GROUP) -> Sunk:
        """Write a frame that has the columns SPLIT and ROW as `directory/SPLIT/part-*.parquet`, in order of ROW.

        Both columns are dropped on the way. A split without rows gets an empty directory.

        Raises:
            UserError: The engine can't run the plan, a source can't be read, or the disk is full.
        """

    def fit(self, workflow: Workflow, frame: pl.LazyFrame, *, only: pl.Expr | None = None, label: str = "") -> Fitted:
        """Learn a workflow; by `collect`, unless the engine has a way of its own. See `Workflow.fit`."""
        return workflow.fit(frame, self, only=only, label=label)

    def update(
        self,
        workflow: Workflow,
        earlier: Fitted,
        frame: pl.LazyFrame,
        *,
        only: pl.Expr | None = None,
        label: str = "",
    ) -> Fitted:
        """Go on from what was learned of earlier rows; see `Workflow.update`."""
        return workflow.update(earlier, frame, self, only=only, label=label)

    def write(
        self,
        fitted: Fitted,
        frame: pl.LazyFrame,
        directory: Path,
        *,
        keep: Sequence[str],
        training: pl.Expr | None = None,
    ) -> Sunk:
        """Transform rows and write them as `sink` does; by `sink`, unless the engine has a way of its own.

        Args:
            fitted: What `fit` of this engine gave.
            frame: Raw rows with the columns `keep`.
            directory: Where to.
            keep: SPLIT, ROW and whatever else is to be written beside the outputs.
            training: Which rows the workflow was fitted on; see `Fitted.transform`.
        """
        windowed = any(step.operator.windowed for step in fitted.steps)
        with self.spilling(frame) if windowed else nullcontext():
            return self.sink(fitted.transform(frame, keep=keep, engine=self, training=training), directory)

    def close(self) -> None:  # noqa: B027  most engines hold nothing
        """Give back what the engine holds (a cluster, a device)."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def count_parts(directory: Path) -> Sunk:
    """List what lies in the split directories; rows come from the footers.

    Example:
        >>> import tempfile
        >>> count_parts(Path(tempfile.mkdtemp())).rows
        {'train': 0, 'valid': 0, 'test': 0}
    """
    files = {split: tuple(sorted((directory / split).glob("part-*.parquet"))) for split in SPLITS}
    return Sunk(files, {split: rows_in(paths) for split, paths in files.items()})


def rows_in(paths: Iterable[Path]) -> int:
    """Rows of Parquet files, as their footers tell.

    Example:
        >>> rows_in([])
        0
    """
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in paths)


def number_parts(place: Path) -> None:
    """Give files, which sort by name as their rows do, the names of parts; those without rows are removed."""
    import pyarrow.parquet as pq

    files = sorted(place.glob("*.parquet"))
    kept = [path for path in files if pq.read_metadata(path).num_rows]
    for path in set(files).difference(kept):
        path.unlink()
    for number, path in enumerate(kept):
        path.rename(place / PART.format(number))
