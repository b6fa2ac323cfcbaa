"""How often plans read the rows that a bar counts, so that the bar can count each once."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

_COUNTER = "OPAQUE_PYTHON"
"""How Polars prints the step that counts rows as they stream by (`etl.ticks`)."""


def reads(frames: Sequence[pl.LazyFrame], at_once: int, optimizations: pl.QueryOptFlags | None = None) -> int:
    """How often frames read their rows, when so many of them are computed together; at least 1.

    Frames that share a part of their plan read it once, which only the optimized plan tells; `optimizations` are
    those that it will run with.

    Example:
        >>> counted = pl.LazyFrame({"a": [1, 2]}).map_batches(lambda rows: rows, streamable=True)
        >>> reads([counted.select(pl.col("a").sum()), counted.select(pl.col("a").max())], 2)
        1
        >>> reads([counted.select(pl.col("a").sum()), counted.select(pl.col("a").max())], 1)
        2
    """
    found, chosen = 0, optimizations or pl.QueryOptFlags()
    for start in range(0, len(frames), at_once):
        shown = pl.explain_all(frames[start : start + at_once], optimizations=chosen)
        found += max(1, shown.count(_COUNTER))
    return max(1, found)
