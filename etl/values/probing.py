"""Where keys lie among distinct values: a hash table of positions in NumPy, for plans that run on the CPU.

A slot holds the position of a value, plus 1; the values themselves stay where they are. Of several values that hash to
one slot the first has it; the others go to a smaller table with another hash, and so on: a few tables in all, 7 bytes a
value. Values come most frequent first, so most keys are found at the first look. Each step is one NumPy call over a
block of keys that fits the processor's cache, and such calls let other threads run; that is why there are few steps:
linear probing in one table took up to 120 of them for the last keys of a block, and half as much time again.

Polars' own ways build a hash table for each batch of rows (`replace_strict`) or keep hash, key and row of both sides
(join): ten million keys among three million values took 3.2 s of processor time joined, and 0.35 s here.
"""

from __future__ import annotations

import abc
import math
import threading
from functools import reduce
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from etl.onnx import INT_NULL
from etl.values.kept import zeros

Hashes: TypeAlias = NDArray[np.uint64]
Places: TypeAlias = NDArray[np.int64]
Slots: TypeAlias = NDArray[np.int32]
Mask: TypeAlias = NDArray[np.bool_]

BLOCK = 65_536
"""Keys looked up at once."""
BUILD = 65_536
"""Values put into the table at once."""
ROOM = (1.0, 1.5, 2.0, 4.0, 8.0, 16.0)
"""Slots for each value of the first table, the second, and so on: room in later ones costs little and ends a search."""
MOST = 16
"""Tables at most. Values that are left have equal hashes, and are compared with one by one."""
_ODD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio; multiplying by it spreads neighbours."""
_HALF = np.uint64(32)


class Positions:
    """A function of a series of keys: the position of each among distinct values, Int32; -1 for null and the unknown.

    With `first`, `unknown` and `null` it gives ids: `first` + position, `null` for null, `unknown` for the others.

    The table is built when it is first needed, once, whichever thread comes first.

    Args:
        values: Int64 or String, distinct, none of them null; most frequent first is fastest.
        first: Given to the first value.
        unknown: Given to all other keys.
        null: Given to null; None: null is unknown.

    Example:
        >>> find = Positions(pl.Series(["b", "a"]))
        >>> find(pl.Series(["a", None, "c", "b"])).to_list()
        [1, -1, -1, 0]
    """

    def __init__(self, values: pl.Series, *, first: int = 0, unknown: int = -1, null: int | None = None) -> None:
        self._values = values
        self._first, self._unknown = np.int32(first), np.int32(unknown)
        self._null = self._unknown if null is None else np.int32(null)
        self._table: _Table | None = None
        self._lock = threading.Lock()

    def __call__(self, keys: pl.Series) -> pl.Series:
        """Look up keys of the type of the values."""
        table = self._ready()
        found = np.empty(len(keys), np.int32)
        for start in range(0, len(keys), BLOCK):
            part, place = keys.slice(start, BLOCK), found[start : start + BLOCK]
            nulls = part.is_null().to_numpy() if part.null_count() else None
            if table.levels[0].size:
                slots = table.find(part if nulls is None else part.fill_null(table.null))
                np.add(slots, self._first - np.int32(1), out=place)
                place[slots == 0] = self._unknown
            else:
                place[:] = self._unknown
            if nulls is not None:
                place[nulls] = self._null
        return pl.Series(keys.name, found)

    def _ready(self) -> _Table:
        with self._lock:
            if self._table is None:
                kind = _Texts if self._values.dtype == pl.String else _Whole
                self._table = kind(self._values.rechunk())
            return self._table


class _Table(abc.ABC):
    """The slots; what a key is, and how it is compared, differs by type.

    Attributes:
        null: A key to look up in place of null; what is found is thrown away.
    """

    null: int | str

    def __init__(self, values: pl.Series) -> None:
        self.levels: list[Slots] = []
        left = self._put(values, None)
        while left.size and len(self.levels) < MOST:
            left = self._put(values, left)
        self.rest = left

    @abc.abstractmethod
    def hashes(self, keys: pl.Series) -> Hashes:
        """64 bits of each key."""

    @abc.abstractmethod
    def differ(self, slots: Slots, keys: pl.Series, chosen: Places | None) -> Mask:
        """Whether the values in slots, none of them empty or only by a key that is unknown, are not these keys."""

    def find(self, keys: pl.Series) -> Slots:
        """What lies in the slots of keys, none of them null: position + 1; 0 for the unknown."""
        hashes = self.hashes(keys)
        found = self.levels[0].take(_home(hashes, self.levels[0]))
        rows = np.flatnonzero(self.differ(found, keys, None) & (found > 0))
        hashes = hashes[rows]
        for slots in self.levels[1:]:
            if not rows.size:
                return found
            hashes = _mixed(hashes)
            held = slots.take(_home(hashes, slots))
            found[rows] = held
            on = np.flatnonzero(self.differ(held, keys, rows) & (held > 0))
            rows, hashes = rows[on], hashes[on]
        found[rows] = 0
        for one in self.rest:
            found[rows[~self.differ(np.full(len(rows), one), keys, rows)]] = one
        return found

    def _put(self, values: pl.Series, own: Slots | None) -> Slots:
        """Make one more table, of some values (position + 1) or of all; those that find their slot taken are left."""
        count, level = len(values) if own is None else len(own), len(self.levels)
        slots = zeros(math.ceil(ROOM[min(level, len(ROOM) - 1)] * count))
        left = [np.empty(0, np.int32)]
        for start in range(0, count, BUILD):
            stop = min(start + BUILD, count)
            mine = np.arange(start + 1, stop + 1, dtype=np.int32) if own is None else own[start:stop]
            keys = values.slice(start, stop - start) if own is None else values.gather(mine - 1)
            place = _home(reduce(lambda hashes, _: _mixed(hashes), range(level), self.hashes(keys)), slots)
            free = np.flatnonzero(slots.take(place) == 0)[::-1]
            # Of equal indices the last assignment stays.
            slots[place[free]] = mine[free]
            left.append(mine[slots.take(place) != mine])
        self.levels.append(slots)
        return np.concatenate(left)


def _mixed(hashes: Hashes) -> Hashes:
    """Another hash of the same 64 bits, none of them lost."""
    return (hashes ^ (hashes >> _HALF)) * _ODD


def _home(hashes: Hashes, slots: Slots) -> Places:
    """The slot that a hash names: its upper half as a fraction of the table (Lemire 2019, arXiv 1805.10941)."""
    return ((hashes >> _HALF) * np.uint64(slots.size) >> _HALF).view(np.int64)


class _Whole(_Table):
    null = INT_NULL

    def __init__(self, values: pl.Series) -> None:
        self.values = values.to_numpy()
        super().__init__(values)

    def hashes(self, keys: pl.Series) -> Hashes:
        return _mixed(keys.to_numpy().view(np.uint64))

    def differ(self, slots: Slots, keys: pl.Series, chosen: Places | None) -> Mask:
        own = keys.to_numpy()
        held = self.values.take(slots - 1, mode="clip")
        wrong: Mask = held != (own if chosen is None else own[chosen])
        return wrong


class _Texts(_Table):
    null = ""

    def __init__(self, values: pl.Series) -> None:
        self.values = values
        super().__init__(values)

    def hashes(self, keys: pl.Series) -> Hashes:
        # Used within this process only: another one may hash otherwise.
        return keys.hash().to_numpy()

    def differ(self, slots: Slots, keys: pl.Series, chosen: Places | None) -> Mask:
        held = self.values.gather(np.maximum(slots, 1) - 1)
        wrong: Mask = (held != (keys if chosen is None else keys.gather(chosen))).to_numpy()
        return wrong
