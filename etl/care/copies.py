"""Held-out rows that training rows repeat, in every raw column and the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from core.dataset import SPLIT, SPLITS, TARGET

FIRST = 8
"""Columns that are compared before the others are read."""
_DIGITS = 6


def copies(frame: pl.LazyFrame, samples: Mapping[str, pl.DataFrame], columns: Sequence[str]) -> dict[str, float]:
    """Split -> share of its sampled rows that occur among the training rows too, of which every one is looked at.

    One pass over the few columns that tell rows apart best, and another one over all where those find a match;
    columns of lists are left out of the comparison.

    Args:
        frame: Has SPLIT, TARGET and the columns.
        samples: Split -> rows of it, with TARGET.
        columns: To be compared.

    Example:
        >>> rows = pl.DataFrame({SPLIT: [0, 0, 2, 2], TARGET: [1.0, 0.0, 1.0, 1.0], "a": [1, 2, 1, None]})
        >>> test = rows.filter(pl.col(SPLIT) == 2)
        >>> copies(rows.lazy(), {"test": test}, ["a"])
        {'test': 0.5}
    """
    types = frame.collect_schema()
    keys = [TARGET, *(name for name in columns if not isinstance(types[name], pl.List))]
    held = {split: rows.select(keys) for split, rows in samples.items() if split != SPLITS[0] and rows.height}
    if not held or len(keys) == 1:
        return {}
    wanted, train = pl.concat(held.values()), frame.filter(pl.col(SPLIT) == 0)
    first = sorted(keys, key=lambda name: (-wanted[name].n_unique(), name))[:FIRST]
    if not _met(train, wanted, first).select(pl.len()).collect(engine="streaming").item():
        return dict.fromkeys(held, 0.0)
    met = _met(train, wanted, keys).unique().collect(engine="streaming")
    return {split: round(_share(rows, met, keys), _DIGITS) for split, rows in held.items()}


def _met(train: pl.LazyFrame, wanted: pl.DataFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """Training rows that agree with a wanted one in these columns."""
    few = wanted.select(keys).unique().lazy()
    return train.select(keys).join(few, on=list(keys), how="semi", nulls_equal=True)


def _share(rows: pl.DataFrame, met: pl.DataFrame, keys: Sequence[str]) -> float:
    return rows.join(met, on=keys, how="semi", nulls_equal=True).height / rows.height
