"""Whether two sides gave the same ids, up to the order of values that are as frequent as each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tests.bench.etl.rows import IDS, NUMBERS


def differences(one: Path, other: Path) -> list[str]:
    """What differs between the rows of two directories; nothing, or sentences."""
    mine, theirs = (pl.scan_parquet(str(folder / "**/*.parquet")) for folder in (one, other))
    found = []
    for name in IDS:
        ids = pl.concat(
            [mine.select(pl.col(name).alias("a")), theirs.select(pl.col(name).alias("b"))], how="horizontal"
        )
        pairs = ids.group_by("a", "b").len().collect(engine="streaming")
        if pairs["a"].n_unique() != pairs.height or pairs["b"].n_unique() != pairs.height:
            found.append(f"{name}: one id here stands for several there, or the other way round")
        elif not pairs.sort("a")["len"].equals(pairs.sort("b")["len"]):
            found.append(f"{name}: ids are not in the same order of frequency")
    return found


def largest_difference(one: Path, other: Path, names: Sequence[str] = NUMBERS) -> float:
    """Of the numbers."""
    mine, theirs = (pl.scan_parquet(str(folder / "**/*.parquet")) for folder in (one, other))
    both = [mine.select(names), theirs.select(pl.col(name).alias(f"{name}!") for name in names)]
    gaps = pl.concat(both, how="horizontal").select(
        (pl.col(name).cast(pl.Float64) - pl.col(f"{name}!")).abs().max() for name in names
    )
    return max(gaps.collect(engine="streaming").row(0))
