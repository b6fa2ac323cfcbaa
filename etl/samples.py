"""Rows picked by a hash of their number: the same rows whatever the engine, the partitioning or the threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from core.dataset import ROW, SPLIT, SPLITS
from etl.mix import below, mix64

GOLDEN_ROWS = 1000
"""Raw rows kept for the golden file."""
WHOLE_ROWS = 250_000
"""A profile is made of all rows up to this many."""
PROFILE_ROWS = 50_000
"""A profile of more rows is made of about this many."""
_HASH, _GOLDEN, _PROFILE = "__hash__", "__golden__", "__profile__"


@dataclass(frozen=True)
class Samples:
    """Raw rows, in order.

    Attributes:
        golden: At most GOLDEN_ROWS rows of one split.
        profile: Rows of every split.
    """

    golden: pl.DataFrame
    profile: pl.DataFrame


def take(frame: pl.LazyFrame, split: str, columns: Sequence[str], *, rows: int, seed: int) -> Samples:
    """Take both samples in one pass over the columns, after a pass over what tells the split.

    Args:
        frame: Has ROW, SPLIT and the columns.
        split: Where the golden rows come from.
        columns: To be taken.
        rows: Number of rows of the frame.
        seed: Chooses the rows.
    """
    hashed = frame.with_columns(mix64(ROW, seed).alias(_HASH))
    here = pl.col(SPLIT) == SPLITS.index(split)
    lowest = hashed.filter(here).select(_HASH, ROW).bottom_k(GOLDEN_ROWS, by=[_HASH, ROW])
    picked = lowest.collect(engine="streaming")[ROW]
    # Hashes that are equal are told apart by ROW, so the rows themselves are matched.
    golden = pl.col(ROW).is_in(picked.implode())
    profile = pl.lit(value=True) if rows <= WHOLE_ROWS else pl.col(_HASH) < below(PROFILE_ROWS / rows)
    asked = hashed.select(ROW, golden.alias(_GOLDEN), profile.alias(_PROFILE), *columns)
    found = asked.filter(pl.col(_GOLDEN) | pl.col(_PROFILE)).collect(engine="streaming").sort(ROW)
    return Samples(found.filter(_GOLDEN).select(columns), found.filter(_PROFILE).select(columns))
