"""A profile of the raw columns, and of how much of each vocabulary was new after training, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from core.dataset import ROW
from etl.fitted import Fitted
from etl.look import Look, plain
from etl.mix import below, mix64
from etl.ops.categorify import OOV, Categorify

SAMPLE = 200_000
"""Quantiles and frequent values come from about this many rows, chosen by a hash; from all when there are fewer."""
TOP = 10
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
    "top_values": pl.List(pl.String),
    "top_counts": pl.List(pl.Int64),
    "unseen_valid": pl.Float64,
    "unseen_test": pl.Float64,
}


def profile(
    frame: pl.LazyFrame, seen: Look, unseen: Mapping[str, Mapping[str, float]], seed: int
) -> pl.DataFrame:
    """Profile the columns of a frame; one row a column, see `TYPES` for what is told.

    Args:
        frame: Raw rows with ROW.
        seen: What the first look found in the same frame.
        unseen: Split -> categorical output -> share of rows whose value was unknown after training.
        seed: Chooses the sample.
    """
    chosen = frame if seen.rows <= SAMPLE else frame.filter(mix64(ROW, seed) < below(SAMPLE / seen.rows))
    sample = chosen.select(list(seen.columns)).collect(engine="streaming")
    rows = [_column(sample[name], seen) | _unseen(name, unseen) for name in seen.columns]
    return pl.DataFrame(rows, schema=TYPES, orient="row")


def _column(values: pl.Series, seen: Look) -> dict[str, Any]:
    summary, full = seen.columns[values.name], values.drop_nulls()
    whole = len(values) == seen.rows
    # Ties by value, so that the same rows always give the same table.
    counts = full.value_counts(name="n").sort(["n", values.name], descending=[True, False]).head(TOP)
    numeric = values.dtype.is_numeric()
    return {
        "name": values.name,
        "dtype": str(values.dtype),
        "rows": seen.rows,
        "nulls": summary.nulls,
        "distinct": full.n_unique() if whole else summary.distinct,
        "low": _text(summary.low),
        "high": _text(summary.high),
        "mean": summary.mean,
        "sampled": len(values),
        "quantiles": [full.quantile(q, "linear") for q in QUANTILES] if numeric and len(full) else [],
        "top_values": plain(counts[values.name].to_list()),
        "top_counts": counts["n"].to_list(),
    }


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
