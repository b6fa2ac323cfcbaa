"""Rows picked by a hash of their number: the same rows whatever the engine, the partitioning or the threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from core.dataset import ROW, SPLIT, SPLITS, TARGET
from etl.engines.slices import paced
from etl.values.mix import below, mix64

GOLDEN_ROWS = 1000
"""Raw rows kept for the golden file."""
WHOLE_ROWS = 250_000
"""A profile is made of all rows up to this many."""
PROFILE_ROWS = 50_000
"""A profile of more rows is made of about this many."""
COMPARED_ROWS = 10_000
"""Splits are compared by about this many rows of each."""
_OTHER = 1_000_003
"""Added to the seed: a random split orders the rows by the hash of the seed itself."""
_HASH, _GOLDEN, _PROFILE, _COMPARED, _JUDGED = "__hash__", "__golden__", "__profile__", "__compared__", "__judged__"


@dataclass(frozen=True)
class Samples:
    """Raw rows, in order.

    Attributes:
        golden: At most GOLDEN_ROWS rows of one split, with their numbers.
        profile: Rows of all splits, each as likely as any other.
        splits: Rows of each split, and their TARGET beside the columns.
        classes: The same with about as many rows of either class, however rare one of them is.
        further: The same by the name of a further target, which is TARGET there, of the rows that tell it.
    """

    golden: pl.DataFrame
    profile: pl.DataFrame
    splits: Mapping[str, pl.DataFrame]
    classes: Mapping[str, pl.DataFrame]
    further: Mapping[str, Mapping[str, pl.DataFrame]] = field(default_factory=dict)


@dataclass(frozen=True)
class Sizes:
    """How many rows there are.

    Attributes:
        rows: Of each split.
        positives: How many of them are positive.
        target: The column that tells them.
    """

    rows: Mapping[str, int]
    positives: Mapping[str, int]
    target: str = TARGET


def take(
    frame: pl.LazyFrame,
    split: str,
    columns: Sequence[str],
    *,
    sizes: Sizes,
    seed: int,
    further: Mapping[str, Sizes] | None = None,
) -> Samples:
    """Take all samples in one pass over the columns, after a pass over what tells the split.

    Args:
        frame: Has ROW, SPLIT, TARGET and the columns.
        split: Where the golden rows come from.
        columns: To be taken.
        sizes: Of the splits.
        seed: Chooses the rows.
        further: Further target -> the rows that tell it.
    """
    others = dict(further or {})
    total = sum(sizes.rows.values())
    hashed = paced(frame).with_columns(mix64(ROW, seed + _OTHER).alias(_HASH))
    here = pl.col(SPLIT) == SPLITS.index(split)
    lowest = hashed.filter(here).select(_HASH).bottom_k(GOLDEN_ROWS, by=_HASH).collect(engine="streaming")
    # A bound and not the rows themselves: `is_in` doesn't stream, and would hold the whole data set. No two numbers
    # have the same hash.
    golden = here & (pl.col(_HASH) <= pl.lit(lowest[_HASH].max(), pl.UInt64))
    profile = _picked(1.0 if total <= WHOLE_ROWS else PROFILE_ROWS / total, pl.lit(value=True))
    flags = {_GOLDEN: golden, _PROFILE: profile, _COMPARED: _compared(sizes), _JUDGED: _judged(sizes)}
    flags |= {f"{_JUDGED}{name}": _judged(one).fill_null(value=False) for name, one in others.items()}
    answers = [TARGET, *(one.target for one in others.values())]
    asked = hashed.select(ROW, SPLIT, *answers, *columns, **flags).filter(pl.any_horizontal(*flags))
    found = asked.collect(engine="streaming").sort(ROW)
    parts = [found.filter(pl.col(SPLIT) == number) for number in range(len(SPLITS))]
    splits, classes = (
        {name: part.filter(flag).select(TARGET, *columns) for name, part in zip(SPLITS, parts, strict=True)}
        for flag in (_COMPARED, _JUDGED)
    )
    judged = {
        name: {
            where: part.filter(f"{_JUDGED}{name}").select(pl.col(one.target).alias(TARGET), *columns)
            for where, part in zip(SPLITS, parts, strict=True)
        }
        for name, one in others.items()
    }
    golden_rows, profiled = found.filter(_GOLDEN).select(ROW, *columns), found.filter(_PROFILE).select(columns)
    return Samples(golden_rows, profiled, splits, classes, judged)


def _compared(sizes: Sizes) -> pl.Expr:
    """About COMPARED_ROWS rows of each split."""
    shares = [COMPARED_ROWS / max(sizes.rows[name], 1) for name in SPLITS]
    return pl.any_horizontal(_picked(share, pl.col(SPLIT) == n) for n, share in enumerate(shares))


def _judged(sizes: Sizes) -> pl.Expr:
    """About half as many rows of each class of each split."""
    positive, picked = pl.col(sizes.target) > 0.5, []
    for number, name in enumerate(SPLITS):
        ones, here = sizes.positives[name], pl.col(SPLIT) == number
        picked.append(_picked(COMPARED_ROWS / 2 / max(ones, 1), here & positive))
        picked.append(_picked(COMPARED_ROWS / 2 / max(sizes.rows[name] - ones, 1), here & ~positive))
    return pl.any_horizontal(picked)


def _picked(share: float, among: pl.Expr) -> pl.Expr:
    """About this share of rows."""
    return among if share >= 1 else among & (pl.col(_HASH) < below(share))
