"""How often plans read the rows that a bar counts, so that the bar can count each once."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

_COUNTER = "OPAQUE_PYTHON"
"""How Polars prints the step that counts rows as they stream by (`etl.ticks`)."""


def reads(frames: Sequence[pl.LazyFrame], at_once: int) -> int:
    """How often frames read their rows, when so many of them are computed together; at least 1.

    Frames that share a part of their plan read it once, which only the optimized plan tells.

    Example:
        >>> counted = pl.LazyFrame({"a": [1, 2]}).map_batches(lambda rows: rows, streamable=True)
        >>> reads([counted.select(pl.col("a").sum()), counted.select(pl.col("a").max())], 2)
        1
        >>> reads([counted.select(pl.col("a").sum()), counted.select(pl.col("a").max())], 1)
        2
    """
    found = 0
    for start in range(0, len(frames), at_once):
        found += max(1, pl.explain_all(frames[start : start + at_once]).count(_COUNTER))
    return max(1, found)
