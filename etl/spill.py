"""Work on the rows of a key that need not fit the memory: laid on disk by key, done part by part, read by row.

What a window makes of a row depends on rows of the same key alone. So the rows are split by a hash of the key into
files, each part is worked on by itself, and the results are put in the order of the row numbers, in files again. Those
are mapped, not read: a plan looks its rows up as they stream by.

A plan is written before anything is computed: `Spill.put` notes the work and adds columns that `Spill.fill` must have
computed when the plan runs. Results are the same whatever the number of parts.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from polars.io.partition import FileProviderArgs

from core.errors import UserError
from core.files import TEMPORARY

BUDGET = 512 * 2**20
"""Bytes that one part may take while it is worked on: what writing forty columns takes anyway, so that windows are not
what decides the memory of a run. A part can't be smaller than the rows of its largest key."""
MOST_PARTS = 256
"""Every part is an open file while rows are split, and systems allow a thousand."""
SMALL_ROWS = 2**17
"""Fewer rows are held in memory instead: five windows take 100 MB of them, and below 50,000 rows files save no time."""
CHUNK = 2**19
"""Rows of one file of results, about."""
_MARK = 2**12
"""Of so many rows one tells where the others lie, when files are cut."""
_TEXT, _VALUE, _COPIES = 32, 8, 4
"""Bytes of a text and of another value, and how many copies of it a sort and sums within a key hold at once. Measured
were 2.5; the rest is for parts that turn out larger than others."""
_PART, _FOUND = "part", "found@spill"
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Work:
    """Something to be made of rows, key by key.

    Attributes:
        rows: Narrow rows, not in order.
        row: Its column with the number of each row, Int64.
        keys: Its columns that say which rows belong together.
        make: Makes a frame with the column `row` and the results, each row once, of the rows of whole keys.
        copies: How many rows are sorted for each of them.
    """

    rows: pl.LazyFrame
    row: str
    keys: Sequence[str]
    make: Callable[[pl.LazyFrame], pl.LazyFrame]
    copies: int = 1

    def result(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Results in order of the rows."""
        return self.make(rows).sort(self.row)

    def types(self) -> dict[str, pl.DataType]:
        """Names and types of the results."""
        made = self.make(self.rows).collect_schema()
        return {name: dtype for name, dtype in made.items() if name != self.row}

    def parts(self, rows: int) -> int:
        """In how many parts so many rows are worked on."""
        types = (*self.rows.collect_schema().values(), *self.types().values())
        width = sum(_TEXT if dtype == pl.String else _VALUE for dtype in types)
        return min(max(1, -(-rows * width * self.copies * _COPIES // BUDGET)), MOST_PARTS)


@dataclass(eq=False)
class Results:
    """What was made of each row, in mapped files.

    Attributes:
        types: Names and types of the results.
        pieces: Row numbers, in order, and results; one frame for each batch of the files. None: not made yet.
        firsts: The first row number of each piece.
    """

    types: dict[str, pl.DataType]
    pieces: list[tuple[pl.Series, pl.DataFrame]] | None = None
    firsts: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.Int64))

    def open(self, paths: Sequence[Path], row: str) -> None:
        """Map files, which are in order, one after another."""
        self.pieces = [piece for path in paths for piece in _pieces(pl.read_ipc(path, memory_map=True), row)]
        self.firsts = pl.Series([rows[0] for rows, _ in self.pieces], dtype=pl.Int64)

    def take(self, rows: pl.Series) -> pl.Series:
        """The results of some rows, as structs; null where a row has none."""
        assert self.pieces is not None, "the plan runs before `Spill.fill`"
        if not self.pieces or not len(rows):
            return pl.DataFrame(schema=self.types).clear(len(rows)).to_struct()
        place = self.firsts.search_sorted(rows, side="right").cast(pl.Int64) - 1
        if not place.is_sorted():
            order = place.arg_sort()
            return self.take(rows.gather(order)).gather(order.arg_sort())
        found, at = [], 0
        for run in place.rle():
            found.append(_found(*self.pieces[max(int(run["value"]), 0)], rows.slice(at, run["len"])))
            at += run["len"]
        return pl.concat(found).to_struct()


class Spill:
    """Work that waits, and the results of what was done; see the module.

    Args:
        place: An empty directory, which whoever made it removes.
        rows: How many rows there are.

    Example:
        >>> rows = pl.LazyFrame({"row": [0, 1, 2], "user": [7, 8, 7], "paid": [1, 2, 3]})
        >>> total = pl.col("paid").sum().over("user").alias("total")
        >>> with spill_in(None, 3) as spill:
        ...     plan = spill.put(rows, "row", Work(rows, "row", ["user"], lambda own: own.select("row", total)))
        ...     spill.fill()
        ...     plan.collect()["total"].to_list()
        [4, 2, 4]
    """

    def __init__(self, place: Path, rows: int) -> None:
        self._place, self._rows, self._done = place, rows, 0
        self._waiting: list[tuple[Work, Results]] = []
        self._known: dict[str, Results] = {}

    @property
    def waiting(self) -> int:
        """How much work waits; each reads the rows once."""
        return len(self._waiting)

    def put(self, frame: pl.LazyFrame, row: str, work: Work) -> pl.LazyFrame:
        """Add to a frame what will have been made of each row; what was made before is not made again.

        Args:
            frame: Its plan must run after `fill`.
            row: Its column with the number of each row.
            work: What to make. Results of one name are always the same.
        """
        types = work.types()
        known = {self._known.get(name) for name in types}
        held = known.pop() if len(known) == 1 else None
        if held is None:
            held = Results(types)
            self._waiting.append((work, held))
            self._known |= dict.fromkeys(types, held)
        found = pl.col(row).cast(pl.Int64).map_batches(held.take, pl.Struct(held.types), is_elementwise=True)
        values = [pl.col(_FOUND).struct.field(name) for name in types]
        return frame.with_columns(found.alias(_FOUND)).with_columns(values).drop(_FOUND)

    def fill(self) -> None:
        """Do all work that waits, in the order in which it was put."""
        while self._waiting:
            work, held = self._waiting.pop(0)
            self._done += 1
            held.open(self._computed(work, self._place / str(self._done)), work.row)

    def refused(self, error: OSError) -> Exception:
        """A full disk in the user's words; any other error as it is."""
        if error.errno not in _FULL:
            return error
        return UserError(
            "the disk is full; the rows that windows work on are laid there, key by key",
            where=str(self._place),
            cure="free some space there and run again (a fit outside a run takes the directory that TMPDIR names)",
        )

    def _computed(self, work: Work, place: Path) -> list[Path]:
        """Files with the results in order."""
        place.mkdir()
        parts, whole = work.parts(self._rows), place / "whole"
        if parts == 1:
            work.result(work.rows).sink_ipc(whole, engine="streaming")
            return [whole]
        made = []
        for path in _split(work, parts, place):
            made.append(path.with_suffix(".made"))
            work.result(pl.scan_ipc(path)).sink_ipc(made[-1], engine="streaming")
            path.unlink()
        files = list(_in_order(made, work.row, place))
        for path in made:
            path.unlink()
        return files


@contextmanager
def spill_in(place: Path | None, rows: int) -> Iterator[Spill]:
    """A spill whose files go away with it, also after an error or an interrupt.

    Args:
        place: Where a directory for them is made; None: where the system has temporary files.
        rows: How many rows there are.
    """
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=place, ignore_cleanup_errors=True) as made:
        yield Spill(Path(made), rows)


def _split(work: Work, parts: int, place: Path) -> list[Path]:
    """Write the rows in files by a hash of their key."""

    def path(args: FileProviderArgs) -> str:
        return f"rows-{args.partition_keys.item()}"

    target = pl.PartitionBy(
        place, key=_PART, include_key=False, file_path_provider=path, approximate_bytes_per_file=None
    )
    part = (pl.struct(work.keys).hash(seed=1) % parts).cast(pl.UInt32)
    work.rows.with_columns(part.alias(_PART)).sink_ipc(target, engine="streaming")
    return sorted(place.glob("rows-*"))


def _in_order(paths: Sequence[Path], row: str, place: Path) -> Iterator[Path]:
    """Put the rows of files that are each in order into files that are in order one after another.

    Polars' own merge of sorted frames waits for the slowest of them with all that the others have read.
    """
    if not paths:
        return
    parts = [pl.read_ipc(path, memory_map=True) for path in paths]
    marks = pl.concat([part[row].gather_every(_MARK) for part in parts]).sort()
    ends = marks.gather_every(max(CHUNK // _MARK, 1))[1:]
    cuts = [[0, *part[row].search_sorted(ends), part.height] for part in parts]
    for number in range(len(ends) + 1):
        cut = [part.slice(at[number], at[number + 1] - at[number]) for part, at in zip(parts, cuts, strict=True)]
        path = place / f"whole-{number}"
        pl.concat(cut).sort(row).write_ipc(path)
        yield path


def _pieces(frame: pl.DataFrame, row: str) -> Iterator[tuple[pl.Series, pl.DataFrame]]:
    """Row numbers and results of each batch of a mapped file."""
    at = 0
    for rows in frame[row].get_chunks():
        if len(rows):
            yield rows, frame.slice(at, len(rows)).drop(row)
            at += len(rows)


def _found(known: pl.Series, results: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """The results of some rows among those that are known, in order; null where a row has none."""
    start = int(known.search_sorted(rows[0]))
    if known.slice(start, len(rows)).equals(rows):
        return results.slice(start, len(rows))
    index = known.search_sorted(rows).clip(upper_bound=len(known) - 1)
    hit = known.gather(index) == rows
    return results.select(pl.all().gather(pl.select(pl.when(hit).then(index)).to_series()))
