"""Parquet read no faster than it is worked on.

Polars' streaming engine reads ahead: while rows wait between the parts of a plan, up to hundreds of MiB of a wide
table are decoded, and pages of a mapped file stay until the query ends. Here a query asks for its rows slice by slice,
each slice is a small query of its own, and both amounts are bounded whatever the number of rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import polars as pl
from polars.io.plugins import register_io_source

READ = 32 << 20
"""Bytes read at once. Row groups that lie on the border of two reads are opened twice."""
GIVEN = 8 << 20
"""Bytes given to the query at once. Rows wait in it by the batch, so smaller ones hold less memory; each costs the
plan's fixed price, which with 40 columns is a tenth of the work at this size."""
FIRST = 65_536
"""Rows of the first read; what they weigh tells how many the next ones have."""
_SCAN = re.compile(r"SLICE: Positive \{ offset: 7, len: 5 \}.*?ESTIMATED ROWS: (\d+)", re.DOTALL)
_OTHERS = re.compile(
    r"^\s*(SLICE\[|SLICED|FILTER|\w* ?JOIN|UNION|HCONCAT|CACHE|OPAQUE_PYTHON)|SELECTION:", re.MULTILINE
)


def paced(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The same rows in the same order, read slice by slice as a query takes them.

    Frames that aren't plain Parquet (with columns that are made of one row each) are given back as they are: to cut a
    slice out of them, all rows before it would have to be made again. So are those of few rows, and those
    that count the rows that pass (`etl.ticks`), which a bar looks for in plans.

    Example:
        >>> frame = pl.LazyFrame({"a": [1, 2]})
        >>> paced(frame) is frame
        True
    """
    if _rows(frame) <= FIRST:
        return frame

    def give(
        names: list[str] | None, predicate: pl.Expr | None, most: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = frame if names is None else frame.select(names)
        for part in _slices(wanted, most):
            yield part if predicate is None else part.filter(predicate)

    return register_io_source(give, schema=frame.collect_schema(), is_pure=True)


def _rows(frame: pl.LazyFrame) -> int:
    """About how many rows a frame has of which slices can be read by themselves; 0 of others."""
    # Only the optimized plan tells how far down a slice goes.
    shown = frame.slice(7, 5).explain()
    found = _SCAN.search(shown)
    alone = found is not None and shown.count("Parquet SCAN") == 1 and not _OTHERS.search(shown)
    return int(found.group(1)) if found is not None and alone else 0


def _slices(frame: pl.LazyFrame, most: int | None) -> Iterator[pl.DataFrame]:
    start, rows = 0, FIRST
    while most is None or start < most:
        rows = rows if most is None else min(rows, most - start)
        held = frame.slice(start, rows).collect(engine="streaming")
        start += held.height
        size = max(1, int(held.estimated_size()))
        yield from held.iter_slices(max(1, held.height * GIVEN // size))
        if held.height < rows:
            return
        rows = max(1, held.height * READ // size)
        # What is read next needs the room.
        del held
