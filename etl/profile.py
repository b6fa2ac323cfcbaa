"""A profile of the raw columns, and of how much of each vocabulary was new after training, for the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from etl.fitted import Fitted
from etl.look import Look, plain
from etl.ops.categorify import OOV, Categorify

TOP = 10
BINS = 24
"""Largest number of bins of a number's histogram, from its 1 % to its 99 % quantile."""
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TYPES: dict[str, Any] = {
    "name": pl.String,
    "dtype": pl.String,
    "rows": pl.Int64,
    "nulls": pl.Int64,
    "distinct": pl.Int64,
    "low": pl.String,
    "high": pl.String,
    "mean": pl.Float64,
    "sampled": pl.Int64,
    "quantiles": pl.List(pl.Float64),
    "histogram": pl.List(pl.Int64),
    "top_values": pl.List(pl.String),
    "top_counts": pl.List(pl.Int64),
    "unseen_valid": pl.Float64,
    "unseen_test": pl.Float64,
}


def profile(rows: pl.DataFrame, seen: Look, unseen: Mapping[str, Mapping[str, float]]) -> pl.DataFrame:
    """Profile raw columns; one row a column, see `TYPES` for what is told.

    Counts of rows and nulls, extremes and means are exact; quantiles and frequent values come from `rows`, and
    so do numbers of distinct values when these are all the rows there are (else within a few percent).

    Args:
        rows: All rows, or a sample of them.
        seen: What the first look found in all of them.
        unseen: Split -> raw column -> share of its rows whose value was unknown after training.
    """
    table = [_column(rows[name], seen) | _unseen(name, unseen) for name in rows.columns]
    return pl.DataFrame(table, schema=TYPES, orient="row")


def _column(values: pl.Series, seen: Look) -> dict[str, Any]:
    summary, full = seen.columns[values.name], values.drop_nulls()
    whole = len(values) == seen.rows
    # Ties by value, so that the same rows always give the same table.
    counts = full.alias("value").value_counts(name="n").sort(["n", "value"], descending=[True, False]).head(TOP)
    numeric = values.dtype.is_numeric()
    return {
        "name": values.name,
        "dtype": str(values.dtype),
        "rows": seen.rows,
        "nulls": summary.nulls,
        "distinct": full.n_unique() if whole else summary.distinct,
        "low": _text(summary.low),
        "high": _text(summary.high),
        "mean": _rounded(summary.mean),
        "sampled": len(values),
        "quantiles": [full.quantile(q, "linear") for q in QUANTILES] if numeric and len(full) else [],
        "histogram": _histogram(full) if numeric else [],
        "top_values": plain(counts["value"].to_list()),
        "top_counts": counts["n"].to_list(),
    }


def _rounded(mean: float | None) -> float | None:
    """Nine digits: the order in which rows are summed changes later ones."""
    return None if mean is None else float(f"{mean:.9g}")


def _histogram(full: pl.Series) -> list[int]:
    """Counts in bins of equal width; what lies beyond the outer quantiles is left out, lest one value hide the rest."""
    low, high = full.quantile(QUANTILES[0], "linear"), full.quantile(QUANTILES[-1], "linear")
    if low is None or high is None or not math.isfinite(high - low) or not high > low:
        return []
    width, inner = (high - low) / BINS, full.cast(pl.Float64).filter(full.is_between(low, high))
    if full.dtype.is_integer():
        # Whole numbers get bins of a whole width: else some would hold more numbers than others.
        low, width = math.floor(low), math.ceil((math.floor(high) + 1 - math.floor(low)) / BINS)
    bins = min(BINS, math.floor((high - low) / width) + 1)
    place = ((inner - low) / width).floor().clip(0, bins - 1).cast(pl.Int64)
    counts = dict(place.value_counts().iter_rows())
    return [counts.get(number, 0) for number in range(bins)]


def _text(value: Any) -> str | None:
    return None if value is None else plain([value])[0]


def _unseen(name: str, unseen: Mapping[str, Mapping[str, float]]) -> dict[str, float | None]:
    return {f"unseen_{split}": unseen.get(split, {}).get(name) for split in ("valid", "test")}


def unseen_shares(files: Mapping[str, Sequence[Path]], fitted: Fitted) -> dict[str, dict[str, float]]:
    """How much of each vocabulary was unknown after training.

    Args:
        files: Split -> its Parquet files.
        fitted: What made them.

    Returns:
        Split -> raw column -> share of its rows, for splits with rows.
    """
    ranges = _unknown_ids(fitted)
    shares = {}
    for split in ("valid", "test"):
        if files[split] and ranges:
            asked = [pl.col(name).is_between(*ids).mean().alias(raw) for raw, (name, ids) in ranges.items()]
            found = pl.scan_parquet(list(files[split]), glob=False).select(asked).collect(engine="streaming")
            shares[split] = found.row(0, named=True)
    return shares


def _unknown_ids(fitted: Fitted) -> dict[str, tuple[str, tuple[int, int]]]:
    """Raw column -> the output with its vocabulary and the range of ids that mean "unknown"."""
    found = {}
    ports = {port: name for name, port in fitted.outputs.items()}
    for step in fitted.steps:
        if not isinstance(step.operator, Categorify):
            continue
        ids = (OOV, OOV + step.operator.num_buckets - 1)
        for port in step.references.values():
            raw = fitted.inputs_of([ports[port]]) if port in ports else ()
            if len(raw) == 1:
                found[raw[0]] = (ports[port], ids)
    return found
