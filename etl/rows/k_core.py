"""The k-core of an interaction log: every user and every item that is left has enough events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import log
from core.errors import UserError

Counting = Literal["pairs", "events"]
Codes = NDArray[np.int64]


def k_core(
    frame: pl.LazyFrame | pl.DataFrame,
    *,
    user: str,
    item: str,
    least_user: int = 5,
    least_item: int = 5,
    count: Counting = "pairs",
) -> pl.LazyFrame:
    """Keep the rows of users with enough items and of items with enough users, until all that is left has enough.

    The largest such set of rows is unique, so neither the order of rows nor that of rounds matters. In memory are
    the two id columns and 16 bytes a row; each round reads what the one before left.

    Args:
        frame: The log.
        user: Column with the ids of users.
        item: Column with the ids of items.
        least_user: What a user must have at least.
        least_item: What an item must have at least.
        count: Distinct `pairs` of user and item, or all `events`.

    Raises:
        UserError: A row has no user or no item.

    Example:
        >>> log = pl.DataFrame({"user": [1, 1, 2, 2, 3, 3], "item": ["a", "b", "a", "b", "b", "c"]})
        >>> k_core(log, user="user", item="item", least_user=2, least_item=2).collect().rows()
        [(1, 'a'), (1, 'b'), (2, 'a'), (2, 'b')]
    """
    rows = frame.lazy()
    ids = rows.select(user, item).collect(engine="streaming")
    for name in (user, item):
        if ids[name].null_count():
            cure = f"put {{dropna: [{name}]}} before k_core"
            raise UserError("some rows have no value, and k_core counts by it", where=f"column {name}", cure=cure)
    found = _Log(*(_codes(ids[name]) for name in (user, item)))
    whole = {name: ids[name].n_unique() for name in (user, item)}
    if count == "pairs":
        found = found.distinct()
    left, rounds = _peel(found, least_user, least_item)
    kept = {user: _values(ids[user], left.user), item: _values(ids[item], left.item)}
    told = (f"{kept[name].len():,} of {whole[name]:,} values of {name}" for name in (user, item))
    log.get("etl").info("k_core: %s stay after %d rounds", " and ".join(told), rounds)
    return rows.filter(pl.col(name).is_in(kept[name].implode()) for name in (user, item))


@dataclass(frozen=True)
class _Log:
    """Ids as numbers from 0, row by row."""

    user: Codes
    item: Codes

    def where(self, chosen: NDArray[np.bool_]) -> _Log:
        return self if chosen.all() else _Log(self.user[chosen], self.item[chosen])

    def distinct(self) -> _Log:
        width = int(self.item.max(initial=0)) + 1
        pairs = np.unique(self.user * width + self.item)
        return _Log(pairs // width, pairs % width)


def _peel(rows: _Log, least_user: int, least_item: int) -> tuple[_Log, int]:
    """What is left, and the number of rounds."""
    rounds = 0
    while True:
        rounds += 1
        before = rows.user.size
        rows = rows.where(np.bincount(rows.user)[rows.user] >= least_user)
        rows = rows.where(np.bincount(rows.item)[rows.item] >= least_item)
        if rows.user.size == before:
            return rows, rounds


def _codes(values: pl.Series) -> Codes:
    return values.rank("dense").cast(pl.Int64).to_numpy() - 1


def _values(values: pl.Series, left: Codes) -> pl.Series:
    """The distinct values whose codes are left."""
    return values.unique().sort().gather(np.unique(left))
