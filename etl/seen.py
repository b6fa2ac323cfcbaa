"""What a fitted workflow says of the rows that it has seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from core import log
from core.dataset import TIME
from core.files import hash_json
from etl.ops.base import State

_ENDS = 1000
"""Rows of each end of a table that a fingerprint is made of; the tables of a state are in order."""
_log = log.get("etl")


@dataclass(frozen=True)
class Seen:
    """What one fit or update read.

    Attributes:
        rows: Number of rows that were given.
        label: What the user called them.
        first: Smallest `core.dataset.TIME`; None where the rows have no such column.
        last: Largest.
        fingerprint: Hash of what the rows alone teach: the same rows give the same, in any order and cut.
    """

    rows: int
    label: str = ""
    first: int | None = None
    last: int | None = None
    fingerprint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Seen:
        """Read what `to_json` gave."""
        return cls(**value)

    def __str__(self) -> str:
        called = f" ({self.label})" if self.label else ""
        return f"{self.rows} rows{called}"


def look(frame: pl.LazyFrame) -> pl.LazyFrame:
    """A plan for what `seen` reads: one row.

    Example:
        >>> look(pl.LazyFrame({"a": [1, 2]})).collect().rows(named=True)
        [{'rows': 2, 'first': None, 'last': None}]
    """
    timed = TIME in frame.collect_schema()
    first, last = (pl.col(TIME).min(), pl.col(TIME).max()) if timed else (pl.lit(None), pl.lit(None))
    return frame.select(pl.len().alias("rows"), first.cast(pl.Int64).alias("first"), last.cast(pl.Int64).alias("last"))


def seen(looked: pl.DataFrame, states: Iterable[State], label: str = "") -> Seen:
    """Say what rows there were.

    Args:
        looked: What `look` gave.
        states: What operators that read no state of another learned from these rows alone.
        label: What the user calls them.
    """
    found = looked.row(0, named=True)
    # A data set without a time role has 0 everywhere.
    first, last = (found[end] if found["first"] or found["last"] else None for end in ("first", "last"))
    return Seen(int(found["rows"]), label, first, last, hash_json([found, *map(_brief, states)])[:16])


def warn_of_twice(new: Seen, earlier: Sequence[Seen]) -> None:
    """Say in the log that the same rows were given before: they count twice."""
    for one in earlier:
        if new.rows and one.fingerprint == new.fingerprint:
            _log.warning("these %s were seen before, as %s: they count twice now", new, one)
            return


def _brief(state: State) -> list[Any]:
    """What a fingerprint needs of a state: its small part, and the ends of its tables."""
    tables = {
        key: [table.height, _rows(table.head(_ENDS)), _rows(table.tail(_ENDS))] for key, table in state.tables().items()
    }
    return [state.to_json(), tables]


def _rows(table: pl.DataFrame) -> list[list[str]]:
    return [[repr(value) for value in row] for row in table.iter_rows()]
