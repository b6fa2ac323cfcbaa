"""Rows of Parquet taken slice by slice, so that memory doesn't grow with their number.

Polars' streaming engine reads ahead: while rows wait between the parts of a plan, up to hundreds of MiB of a wide
table are decoded, and pages of a mapped file stay until the query ends. Where each row of a plan is made of one row of
the files alone, a slice of the result is the result of a slice, which Polars skips to; so a plan can be run slice by
slice (`rows_at_once`), and a source can read no faster than it is asked (`paced`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import polars as pl
from polars.io.plugins import register_io_source

READ = 24 << 20
"""Bytes read at once. Row groups that lie on the border of two reads are opened twice."""
GIVEN = 12 << 20
"""Bytes given to the query at once. A plan with calls of Python wants several times as much at once, since its threads
wait for each other at each call: those are cut, not paced."""
FIRST = 65_536
"""Rows of the first read; what they weigh tells how many the next ones have."""
CUT = 128 << 20
"""Bytes of the results in a slice of a plan, at 8 bytes a value. Twice as many and half as many took the same time."""
_VALUE = 8
_FAR, _FEW = 1_000_003, 5
"""A slice that nobody asks for: where it stands in a plan tells how far down slices go."""
_SCAN = re.compile(
    rf"Parquet SCAN [^\n]*\n[^\n]*\n *SLICE: Positive \{{ offset: {_FAR}, len: {_FEW} \}}.*?ESTIMATED ROWS: (\d+)",
    re.DOTALL,
)
_COUNTER = "OPAQUE_PYTHON"


def rows_at_once(frame: pl.LazyFrame, multiple: int) -> int | None:
    """Into slices of how many rows to cut a plan; None where it can't be cut, or is no longer than a slice.

    Args:
        frame: A plan.
        multiple: Slices have a multiple of so many rows.

    Example:
        >>> rows_at_once(pl.LazyFrame({"a": [1, 2]}), 1) is None
        True
    """
    rows = max(1, CUT // (_VALUE * len(frame.collect_schema())) // multiple) * multiple
    return rows if sliceable_rows(frame) > rows else None


def paced(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The same rows in the same order, read slice by slice as a query takes them.

    Frames that aren't plain Parquet (with columns that are made of one row each) are given back as they are: to cut a
    slice out of them, all rows before it would have to be made again. So are those of few rows, and those that count
    the rows that pass (`etl.ticks`), which a bar looks for in plans.

    Example:
        >>> frame = pl.LazyFrame({"a": [1, 2]})
        >>> paced(frame) is frame
        True
    """
    if sliceable_rows(frame, counters=False) <= FIRST:
        return frame

    def give(
        names: list[str] | None, predicate: pl.Expr | None, most: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = frame if names is None else frame.select(names)
        for part in _slices(wanted, most):
            yield part if predicate is None else part.filter(predicate)

    return register_io_source(give, schema=frame.collect_schema(), is_pure=True)


def sliceable_rows(frame: pl.LazyFrame, *, counters: bool = True) -> int:
    """About how many rows a frame has of which slices can be made by themselves; 0 of others.

    Args:
        frame: A plan.
        counters: It may hold steps that count the rows that pass.
    """
    # The optimizer moves a slice down to the scan past nothing but columns that are made of one row each.
    shown = frame.slice(_FAR, _FEW).explain()
    found = _SCAN.search(shown)
    return 0 if found is None or (_COUNTER in shown and not counters) else int(found.group(1))


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
