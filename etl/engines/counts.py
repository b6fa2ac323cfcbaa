"""How the CPU counts whole numbers: some columns at a time, as many as fit a budget of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from etl.values.counting import Counting, added, count_runs, ranked
from etl.values.kept import give_back, kept

HELD = 256 << 20
"""Bytes of keys that all groups at work hold; a sort needs as much again."""
AT_WORK = 2
"""Groups counted side by side: while one is read and sorted by all threads, another ranks on one."""
LONGEST = 1 << 26
"""Most rows of a column that are sorted at once; a longer one is counted in parts, whose counts are added up."""


@dataclass(frozen=True, eq=False)
class Group:
    """Columns of one frame that are counted in one pass over it.

    Attributes:
        frame: The rows.
        keys: By the place of the result.
        rows: About how many there are.
    """

    frame: pl.LazyFrame
    keys: dict[int, pl.Expr]
    rows: int

    @property
    def reads(self) -> int:
        """How often the rows are read."""
        return len(self.keys) if self.rows > LONGEST else 1

    def count(self) -> dict[int, pl.DataFrame]:
        """Place -> values and counts, ranked."""
        named = self.frame.select(key.alias(str(place)) for place, key in self.keys.items())
        if self.rows > LONGEST:
            return {place: kept(_count_long(named.select(str(place)))) for place in self.keys}
        held = named.collect(engine="streaming")
        # Each column goes as soon as it is counted.
        found = {place: kept(ranked(count_runs(held.drop_in_place(str(place))))) for place in self.keys}
        give_back()
        return found


def groups_of(frames: Sequence[pl.LazyFrame | Counting], rows: int | None) -> list[Group]:
    """Put the whole numbers to be counted into groups; texts and plans are left out.

    Args:
        frames: What a fit asks for.
        rows: About how many rows they have; None: to be counted first.
    """
    found: dict[int, dict[int, Counting]] = {}
    for place, one in enumerate(frames):
        if isinstance(one, Counting):
            found.setdefault(id(one.frame), {})[place] = one
    return [group for same in found.values() for group in _groups(same, rows)]


def _groups(countings: dict[int, Counting], rows: int | None) -> Iterator[Group]:
    frame = next(iter(countings.values())).frame
    types = frame.select(one.key.alias(str(place)) for place, one in countings.items()).collect_schema()
    keys = [(place, one.key) for place, one in countings.items() if types[str(place)] == pl.Int64]
    if not keys:
        return
    known = frame.select(pl.len()).collect(engine="streaming").item() if rows is None else rows
    width = max(1, HELD // AT_WORK // (8 * max(known, 1)))
    for start in range(0, len(keys), width):
        yield Group(frame, dict(keys[start : start + width]), known)


def _count_long(column: pl.LazyFrame) -> pl.DataFrame:
    """Count a column part by part.

    Parts are added up when they are about as long as those before, so each value is moved only a few times, and
    little more than twice the result is held.
    """
    done: list[pl.DataFrame] = []
    # No rows come in no batch.
    waiting = [pl.Series(dtype=pl.Int64)]
    for batch in column.collect_batches(maintain_order=False, engine="streaming"):
        waiting.append(batch.to_series())
        if sum(map(len, waiting)) >= LONGEST // 2:
            _put(done, count_runs(pl.concat(waiting)))
            waiting.clear()
    if waiting:
        _put(done, count_runs(pl.concat(waiting)))
    return ranked(added(done))


def _put(done: list[pl.DataFrame], part: pl.DataFrame) -> None:
    done.append(part)
    while len(done) > 1 and 2 * done[-1].height >= done[-2].height:
        last = done.pop()
        done.append(added([done.pop(), last]))
