"""Outcomes: does a key come back within some time? They lie in the future of the row, so they are no features."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from core.dataset import TIME


def repeats(frame: pl.LazyFrame, key: Sequence[str], within: int, name: str) -> pl.LazyFrame:
    """Add whether the key of a row occurs again, later than at the row's time and at most `within` after it.

    The last rows, for which the data end before the answer is known, are dropped: keeping those of them whose key
    did come back would make the end of the data look busier than it was. In memory are the key and the time.

    Args:
        frame: Has the key and TIME.
        key: Columns.
        within: In the unit of TIME.
        name: Of the column to add, int8: 1, 0, or null where a part of the key is.

    Example:
        >>> log = pl.LazyFrame({"user": ["a", "b", "a", "b", "c"], TIME: [0, 1, 5, 20, 30]})
        >>> repeats(log, ["user"], 10, "again").collect().rows()
        [('a', 0, 1), ('b', 1, 0), ('a', 5, 0), ('b', 20, 0)]
    """
    moments = frame.select(*key, TIME).unique().collect(engine="streaming").sort(*key, TIME)
    last = moments[TIME].max()
    following = pl.col(TIME).shift(-1).over(key) - pl.col(TIME)
    answers = moments.with_columns((following <= within).fill_null(value=False).cast(pl.Int8).alias(name))
    unknown = (pl.col(TIME) + within > pl.lit(last, pl.Int64)).fill_null(value=False)
    known = frame.filter(~unknown)
    return known.join(answers.lazy(), on=[*key, TIME], how="left", maintain_order="left")
