"""Where keys lie among distinct values: hash tables in NumPy, for plans that run on the CPU.

A slot is one word: the position of a value, and of its hash the bits that the number of the slot doesn't tell. Integers
are hashed without loss, so equal words mean equal keys, and a look takes one access of memory (the quotients of Cleary
1984, doi 10.1109/TC.1984.1676499). Of several values that hash to one slot the first has it; the others go to a smaller
table with another hash, and so on: a few tables in all, about 20 bytes a value. Values come most frequent first, so
most keys are found at the first look. Of very many integers a slot holds the position alone, and the value is compared:
half the memory, which then counts for more than the second access.

Each step is one NumPy call over a block of keys, and such calls let other threads run, but each takes Python's lock
when it begins and ends: that is why there are few, and why arrays between them are used again and again. Linear probing
in one table took up to 120 steps for the last keys of a block, and half as much time again.

Polars' own ways build a hash table for each batch of rows (`replace_strict`) or keep hash, key and row of both sides
(join): ten million keys among three million values took 3.2 s of processor time joined, and 0.35 s in
the first tables of this kind.
"""

from __future__ import annotations

import abc
import threading
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from etl.values.kept import filled, moved

Words: TypeAlias = NDArray[np.uint64]
Numbers: TypeAlias = NDArray[np.uint32]
Places: TypeAlias = NDArray[np.int64]
Ids: TypeAlias = NDArray[np.int32]
Mask: TypeAlias = NDArray[np.bool_]

BLOCK = 65_536
"""Keys looked up at once; up to half as many more where that saves a short last block."""
BUILD = 65_536
"""Values put into a table at once."""
ROOM = (1, 1, 4, 16, 64)
"""Slots for each value of the first table, the second, and so on, rounded up to a power of two: room in later ones
costs little and ends a search. Beside one slot for each value in all of them it saved 7 % of a transform."""
MANY = 1 << 19
"""Integers from here on are told apart by their values. With words of 8 bytes, 10 million rows with 20 million ids
took three times as long in one and a half times the memory of a tenth of them, with positions no longer than ever."""
MOST = 16
"""Tables at most. Values that are left, and those of equal hashes, are compared with one by one."""
_ODD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio; multiplying by it spreads neighbours, and loses nothing."""
_HALF, _WORD = np.uint64(32), 64
_NOBODY = np.empty(0, np.int64)


class Positions:
    """A function of a series of keys: the position of each among distinct values, Int32; -1 for null and the unknown.

    With `first`, `unknown` and `null` it gives ids: `first` + position, `null` for null, `unknown` for the others.

    The tables are built when they are first needed, once, whichever thread comes first.

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
        ids = np.empty(len(keys), np.int32)
        step = _even(len(keys))
        for start in range(0, len(keys), step):
            place = ids[start : start + step]
            missing = table.find(keys.slice(start, step), place)
            if self._first:
                place += self._first
            place[missing] = self._unknown
        if keys.null_count():
            ids[_nulls(keys)] = self._null
        return pl.Series(keys.name, ids)

    def _ready(self) -> _Table:
        with self._lock:
            if self._table is None:
                self._table = _table(self._values.rechunk())
            return self._table


@dataclass(frozen=True)
class _Level:
    """One table of 2^bits slots; each holds the hash without its first bits, and a number in their place.

    The number of an empty slot is the largest, which no value has, since there are fewer values than slots.

    Attributes:
        slots: The words; where they have 32 bits, the numbers alone.
        count: Number of values that were to be put into it.
        bits: How many bits of a hash name a slot.
        positions: Of these values; None: their numbers.
    """

    slots: Words | Numbers
    count: np.uint64
    bits: np.uint64
    positions: Ids | None

    @classmethod
    def of(cls, count: int, positions: Ids | None, depth: int, *, whole: bool) -> _Level:
        """An empty one, for so many values, behind so many others, of whole words or of numbers alone."""
        bits = max(1, (count * ROOM[min(depth, len(ROOM) - 1)]).bit_length())
        size, empty = 1 << bits, (1 << bits) - 1
        slots: Words | Numbers = filled(size, empty, np.uint64) if whole else filled(size, empty, np.uint32)
        return cls(slots, np.uint64(count), np.uint64(bits), positions)

    @property
    def whole(self) -> bool:
        return self.slots.itemsize == _WORD // 8

    @property
    def shift(self) -> np.uint64:
        return np.uint64(_WORD - int(self.bits))

    @property
    def empty(self) -> np.uint64:
        return np.uint64(self.slots.size - 1)

    def put(self, hashes: Words, start: int) -> tuple[Places, Places]:
        """Put values in, numbered from `start`.

        Returns:
            Those that found their slot taken: by a value of another hash, and by one of the same.
        """
        numbers: Words = np.arange(start, start + len(hashes), dtype=np.uint64)
        words = numbers | hashes << self.bits if self.whole else numbers
        place = (hashes >> self.shift).view(np.int64)
        free = np.flatnonzero(self.slots.take(place) == self.empty)[::-1]
        # Of equal indices the last assignment stays.
        self.slots[place[free]] = words[free]
        other: Words = words ^ self.slots.take(place)
        if not self.whole:
            return np.flatnonzero(other), _NOBODY
        return np.flatnonzero(other > self.empty), np.flatnonzero((other > 0) & (other <= self.empty))

    def look(self, hashes: Words) -> Words | Numbers:
        """The number of the value that has this hash, or, without whole words, this slot; `count` or more: nobody."""
        found: Words | Numbers = self.slots.take((hashes >> self.shift).view(np.int64))
        if not self.whole:
            return found
        same: Words = found ^ hashes << self.bits
        return same


class _Room(threading.local):
    """Arrays of a thread, for what lies between the steps."""

    def __init__(self) -> None:
        most = BLOCK * 3 // 2
        self.words = [np.empty(most, np.uint64) for _ in range(3)]
        self.mask = np.empty(most, np.bool_)


_ROOM = _Room()


class _Table(abc.ABC):
    """All levels; what a key is, and how it is compared, differs by type.

    Attributes:
        whole: Slots hold whole words.
    """

    whole = True

    def __init__(self, values: pl.Series) -> None:
        self.values = values
        self.levels: list[_Level] = []
        self.rest: list[int] = []
        left = self._put(None)
        while left.size and len(self.levels) < MOST:
            left = self._put(left)
        self.rest += left.tolist()

    @abc.abstractmethod
    def codes(self, keys: pl.Series) -> Words:
        """64 bits of each key; any bits for null."""

    def same(self, codes: Words, positions: Ids | Words | Numbers) -> Mask:
        """Whether the values in these places have these codes; asked where slots hold no whole words."""
        raise NotImplementedError

    def told_apart(self, keys: pl.Series, place: Ids, missing: Places) -> Places:
        """Which keys aren't the values that have their hashes, beside the `missing`, whose hashes no value has."""
        return missing

    def find(self, keys: pl.Series, place: Ids) -> Places:
        """Look up a block of keys.

        Args:
            keys: At most one and a half times BLOCK.
            place: Their positions are written here.

        Returns:
            The keys that aren't among the values; what was written for them, and for null, means nothing.
        """
        missing = self.told_apart(keys, place, self._find(self.codes(keys), place))
        for one in self.rest:
            same = (keys.gather(missing) == self.values[one]).fill_null(False).to_numpy()
            place[missing[same]] = one
            missing = missing[~same]
        return missing

    def _find(self, codes: Words, place: Ids) -> Places:
        level, size = self.levels[0], len(codes)
        (hashes, slot, found), far = (words[:size] for words in _ROOM.words), _ROOM.mask[:size]
        np.multiply(codes, _ODD, out=hashes)
        np.right_shift(hashes, level.shift, out=slot)
        # It can't be out of bounds; NumPy would copy `found` to keep it whole if it were.
        level.slots.take(slot.view(np.int64), out=found, mode="clip")
        np.left_shift(hashes, level.bits, out=hashes)
        np.bitwise_xor(found, hashes, out=found)
        np.greater_equal(found, level.count, out=far)
        np.copyto(place, found, casting="unsafe")
        rows = far.nonzero()[0]
        taken = (found.take(rows) & level.empty) != level.empty
        elsewhere = self._elsewhere(codes, rows[taken], place)
        return np.concatenate([rows[~taken], elsewhere])

    def _elsewhere(self, codes: Words, rows: Places, place: Ids) -> Places:
        """Look in the later levels for some keys; those that aren't there."""
        hashes = codes.take(rows) * _ODD
        for level in self.levels[1:]:
            if not rows.size:
                break
            hashes = _mixed(hashes)
            found = level.look(hashes)
            here = np.flatnonzero(found < level.count)
            assert level.positions is not None
            position = level.positions.take(found[here].astype(np.int64))
            if not level.whole:
                same = self.same(codes.take(rows[here]), position)
                here, position = here[same], position[same]
            place[rows[here]] = position
            far = np.ones(len(rows), np.bool_)
            far[here] = False
            rows, hashes = rows[far], hashes[far]
        return rows

    def _put(self, own: Ids | None) -> Ids:
        """Make one more level, of some values (positions) or of all; gives the positions of those that are left."""
        count, depth = len(self.values) if own is None else len(own), len(self.levels)
        level = _Level.of(count, own, depth, whole=self.whole)
        left = [np.empty(0, np.int32)]
        for start in range(0, count, BUILD):
            stop = min(start + BUILD, count)
            mine = np.arange(start, stop, dtype=np.int32) if own is None else own[start:stop]
            codes = self.codes(self.values.slice(start, stop - start) if own is None else self.values.gather(mine))
            hashes = reduce(lambda hashes, _: _mixed(hashes), range(depth), codes * _ODD)
            others, same = level.put(hashes, start)
            left.append(mine[others])
            # Whoever looks for one of these finds the other: no later level would be asked.
            self.rest += mine[same].tolist()
        self.levels.append(level)
        return moved(np.concatenate(left))


def _table(values: pl.Series) -> _Table:
    if values.dtype == pl.String:
        return _Texts(values)
    return _Many(values) if len(values) >= MANY else _Whole(values)


def _mixed(hashes: Words) -> Words:
    """Another hash of the same 64 bits, none of them lost."""
    return (hashes ^ (hashes >> _HALF)) * _ODD


def _even(count: int) -> int:
    """Into blocks of how many keys to cut so many, so that none is short."""
    return -(-count // max(1, round(count / BLOCK))) or 1


class _Whole(_Table):
    def codes(self, keys: pl.Series) -> Words:
        if not keys.null_count():
            return keys.to_numpy().view(np.uint64)
        # As they lie in memory: filling the nulls would copy all.
        held = keys.rechunk().to_arrow()
        return np.frombuffer(held.buffers()[1], np.uint64)[held.offset : held.offset + len(held)]


class _Many(_Whole):
    """The same in less memory, by positions alone."""

    whole = False

    def __init__(self, values: pl.Series) -> None:
        self._held = values.to_numpy().view(np.uint64)
        super().__init__(values)

    def same(self, codes: Words, positions: Ids | Words | Numbers) -> Mask:
        same: Mask = self._held.take(positions, mode="clip") == codes
        return same

    def _find(self, codes: Words, place: Ids) -> Places:
        level = self.levels[0]
        found = level.look(codes * _ODD)
        np.copyto(place, found, casting="unsafe")
        there, same = found < level.count, self.same(codes, found)
        elsewhere = self._elsewhere(codes, np.flatnonzero(there & ~same), place)
        return np.concatenate([np.flatnonzero(~there), elsewhere])


class _Texts(_Table):
    def codes(self, keys: pl.Series) -> Words:
        # Used within this process only: another one may hash otherwise.
        return keys.hash().to_numpy()

    def told_apart(self, keys: pl.Series, place: Ids, missing: Places) -> Places:
        if self.values.is_empty():
            return missing
        place[missing] = 0
        return np.flatnonzero((self.values.gather(place) != keys).fill_null(False).to_numpy())


def _nulls(keys: pl.Series) -> Mask:
    held = keys.rechunk().is_null().to_arrow()
    bits = np.frombuffer(held.buffers()[1], np.uint8)
    return np.unpackbits(bits, bitorder="little", count=held.offset + len(held))[held.offset :].view(np.bool_)
