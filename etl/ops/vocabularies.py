"""Vocabularies: which values have ids, how often each was seen, and how they grow.

A value that has an id keeps it for good. One that has none waits, with its count, as long as it may still get one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import polars as pl

from core import log
from etl.ops.base import State
from etl.values.counting import VALUE, ranked
from etl.values.kept import kept

COUNT = "count"
"""Beside it stand the columns of a value: one, or one for each part of it."""
_IDS, _RARE = "ids:", "rare:"
_EDITABLE = 1_000_000
"""Longest vocabulary that is looked at for edits by hand."""
Shifts = tuple[tuple[int, int], ...]
"""How the ids of one vocabulary are shifted: (from this own id on, add so much), ascending."""
_log = log.get("etl")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Values and how often each was seen.

    Attributes:
        known: Those that have an id, in the order of ids.
        rare: The others, as far as they may still get one.
    """

    known: pl.DataFrame
    rare: pl.DataFrame

    @property
    def keys(self) -> list[str]:
        """The columns that make a value."""
        return [name for name in self.known.columns if name != COUNT]


@dataclass(frozen=True, eq=False)
class Vocabularies(State):
    """Vocabularies by name.

    Attributes:
        by_column: The values that have an id: the frame of `value` and `count` in the order of ids.
        rare: The same of the others; only of columns where some wait.
        shifts: Where the vocabularies share one space of ids: how the own ids of each are shifted into it.
    """

    by_column: Mapping[str, pl.DataFrame]
    rare: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    shifts: Mapping[str, Shifts] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """See `State`."""
        return {"shifts": {name: [list(one) for one in shifts] for name, shifts in self.shifts.items()}}

    def tables(self) -> dict[str, pl.DataFrame]:
        """See `State`."""
        known = {f"{_IDS}{name}": table for name, table in self.by_column.items()}
        return {**known, **{f"{_RARE}{name}": table for name, table in self.rare.items()}}

    @classmethod
    def load(cls, value: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> Self:
        """See `State`."""
        for key, table in tables.items():
            if table.columns[-1:] != [COUNT] or table.width < 2:
                raise ValueError(f"the vocabulary {key} must have a value and a count")
            _require_distinct(key, table)
        found = {name: tuple((int(start), int(add)) for start, add in one) for name, one in value["shifts"].items()}
        return cls(_under(_IDS, tables), _under(_RARE, tables), found)

    @classmethod
    def of(cls, found: Mapping[str, Vocabulary], shifts: Mapping[str, Shifts] | None = None) -> Self:
        """From vocabularies one by one."""
        rare = {name: one.rare for name, one in found.items() if one.rare.height}
        return cls({name: one.known for name, one in found.items()}, rare, shifts or {})

    def __getitem__(self, name: str) -> Vocabulary:
        known = self.by_column[name]
        return Vocabulary(known, self.rare.get(name, known.clear()))


def _require_distinct(key: str, table: pl.DataFrame) -> None:
    """Find what an edit by hand may have left; nobody edits a vocabulary of millions, and looking takes time there."""
    values = table.drop(COUNT)
    if table.height > _EDITABLE:
        return
    if values.select(pl.all_horizontal(pl.all().is_null()).any()).item():
        raise ValueError(f"the vocabulary {key} holds null")
    if values.is_duplicated().any():
        raise ValueError(f"the vocabulary {key} holds a value twice")


def shared(old: Vocabularies | None, found: Mapping[str, Vocabulary], first: Mapping[str, int]) -> dict[str, Shifts]:
    """How vocabularies lie in one space of ids, behind the padding that they share.

    Args:
        old: As they lay before; None: one behind the other.
        found: The vocabularies.
        first: Own id of the first value of each.

    Example:
        >>> one = rank(pl.DataFrame({"value": ["a"], "count": [1]}), threshold=0, most=9)
        >>> shared(None, {"x": one, "y": one}, {"x": 3, "y": 3})
        {'x': ((1, 0),), 'y': ((1, 3),)}
    """
    shifts: dict[str, Shifts] = dict(old.shifts) if old is not None else {}
    end = 1 if old is None else max(end_of(old, name, first[name]) for name in found)
    for name, one in found.items():
        # Own ids from here on are new; those before stay where they are.
        start = 1 if old is None else first[name] + old.by_column[name].height
        new = first[name] + one.known.height - start
        if new:
            shifts[name] = (*shifts.get(name, ()), (start, end - start))
            end += new
    return shifts


def end_of(state: Vocabularies, name: str, first: int) -> int:
    """The id behind the last one of a vocabulary."""
    own = first + state.by_column[name].height
    return own + (state.shifts[name][-1][1] if state.shifts else 0)


def rank(counts: pl.DataFrame, *, threshold: int, most: int, in_order: bool = False) -> Vocabulary:
    """The vocabulary of values that were counted.

    Args:
        counts: Distinct values, none of them null in all its parts, and `count`, last.
        threshold: A value must be seen so often to get an id.
        most: Largest number of ids.
        in_order: They are in the order of ids; large ones are then not looked at, as looking brings them into memory.

    Example:
        >>> counts = pl.DataFrame({"value": ["a", "b", "c"], "count": [1, 3, 3]})
        >>> found = rank(counts, threshold=2, most=9)
        >>> found.known["value"].to_list(), found.rare["value"].to_list()
        (['b', 'c'], ['a'])
    """
    counts = counts.with_columns(pl.col(COUNT).cast(pl.Int64))
    often = counts.filter(pl.col(COUNT) >= threshold) if threshold > 1 else counts
    ranked = often if in_order else _in_order(often)
    rare = counts.filter(pl.col(COUNT) < threshold) if threshold > 1 else counts.clear()
    if ranked.height <= most and threshold <= 1:
        # What an engine gives in order, it has put away itself.
        return Vocabulary(ranked if in_order else kept(ranked), rare)
    # In order, so that the same rows give the same bytes.
    waiting = pl.concat([ranked.slice(most), rare if in_order else _in_order(rare)], rechunk=True)
    return Vocabulary(kept(ranked.head(most)), kept(waiting))


def merge(old: Vocabulary, new: Vocabulary, *, threshold: int, most: int, where: str) -> Vocabulary:
    """What both have seen: known values keep their ids, others that are seen often enough get the next ones.

    Args:
        old: Ids come from here.
        new: All that `rank` gave, those that wait among them.
        threshold: See `rank`.
        most: See `rank`.
        where: What to call it in the log.

    Example:
        >>> old = rank(pl.DataFrame({"value": ["a", "b"], "count": [1, 2]}), threshold=2, most=9)
        >>> new = rank(pl.DataFrame({"value": ["c", "a"], "count": [5, 1]}), threshold=2, most=9)
        >>> merge(old, new, threshold=2, most=9, where="city").known.rows()
        [('b', 2), ('c', 5), ('a', 2)]
    """
    keys = old.keys
    fresh = pl.concat([new.known, new.rare])
    known = _added(old.known, fresh, keys)
    others = fresh.join(old.known, on=keys, how="anti", nulls_equal=True)
    # Most values wait nowhere else; only the sums of the others need a grouping.
    if old.rare.height:
        others = pl.concat([old.rare, others]).group_by(keys).agg(pl.col(COUNT).sum())
    found = rank(others, threshold=threshold, most=most - known.height)
    _tell(where, found, threshold=threshold, most=most)
    return Vocabulary(kept(pl.concat([known, found.known], rechunk=True)), found.rare)


def settle(found: Vocabulary, *, most: int) -> Vocabulary:
    """The same without what can't matter any more: a full vocabulary takes no value, so none waits for it."""
    return Vocabulary(found.known, found.rare.clear()) if found.known.height >= most else found


def _tell(where: str, found: Vocabulary, *, threshold: int, most: int) -> None:
    """Say which values get no id because there is none left."""
    left_out = found.rare.filter(pl.col(COUNT) >= threshold).height
    if left_out:
        _log.warning("%s: %d new values get no id: max_size allows no more than %d values", where, left_out, most)


def _in_order(counts: pl.DataFrame) -> pl.DataFrame:
    keys = [name for name in counts.columns if name != COUNT]
    if keys == [VALUE]:
        return ranked(counts)
    return counts.sort(COUNT, *keys, descending=[True, *(False for _ in keys)])


def _added(known: pl.DataFrame, fresh: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The known values, in their order, with the new counts added."""
    other = fresh.rename({COUNT: f"{COUNT}!"})
    joined = known.join(other, on=keys, how="left", nulls_equal=True, maintain_order="left")
    return joined.select(*keys, pl.col(COUNT) + pl.col(f"{COUNT}!").fill_null(0))


def _under(prefix: str, tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    return {key.removeprefix(prefix): table for key, table in tables.items() if key.startswith(prefix)}
