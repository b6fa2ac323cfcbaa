"""A profile of the raw columns: what they hold, how their splits differ, and how much was new after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from core.dataset import SPLITS, TARGET
from etl.care.alone import alone
from etl.care.bins import Bins
from etl.care.drift import Reference, elements
from etl.care.look import Look, plain
from etl.care.samples import Samples
from etl.dataset.target import Goal
from etl.fitted import Fitted
from etl.ops.categorify import Categorify
from etl.ops.vocabularies import Vocabularies

TOP = 10
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
HELD_OUT = SPLITS[1:]
_NUMBERS, _COUNTS = pl.List(pl.Float64), pl.List(pl.Int64)
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
    "lengths": _NUMBERS,
    "quantiles": _NUMBERS,
    "edges": _NUMBERS,
    "histogram": _COUNTS,
    "top_values": pl.List(pl.String),
    "top_counts": _COUNTS,
    **{f"unseen_{split}": pl.Float64 for split in HELD_OUT},
    **{f"rows_{split}": pl.Int64 for split in SPLITS},
    **{f"nulls_{split}": pl.Float64 for split in SPLITS},
    **{f"histogram_{split}": _COUNTS for split in SPLITS},
    **{f"top_{split}": _COUNTS for split in SPLITS},
    **{f"{figure}_{split}": pl.Float64 for figure in ("psi", "chance", "js", "ks") for split in HELD_OUT},
    **{f"drifts_{split}": pl.Boolean for split in HELD_OUT},
    "alone": pl.Float64,
    "alone_further": _NUMBERS,
}
"""Columns of the table. Of a column of lists, `lengths` (quantiles) and all but `nulls` speak of the elements; the
figures of `etl.care.drift` say what they speak of."""


def profile(
    samples: Samples, seen: Look, unseen: Mapping[str, Mapping[str, float]], goals: Sequence[Goal] = ()
) -> pl.DataFrame:
    """Profile raw columns; one row a column, see `TYPES` for what is told.

    Counts of rows and nulls, extremes and means are exact; quantiles, frequent values and what differs between
    splits come from `samples`, and so do numbers of distinct values when these are all the rows there are (else
    within a few percent).

    Args:
        samples: All rows, or a sample of them.
        seen: What the first look found in all of them.
        unseen: Split -> raw column -> share of its rows whose value was unknown after training.
        goals: The targets; how well each column alone tells them (`etl.care.alone`) stands under `alone` and, of the
            further ones, in their order under `alone_further`. Nothing is told of a target by its own column.
    """
    table = []
    classes = [samples.classes, *samples.further.values()]
    for name in samples.profile.columns:
        parts = {split: rows[name] for split, rows in samples.splits.items()}
        areas = [_alone(name, goal, judged[SPLITS[0]]) for goal, judged in zip(goals, classes, strict=False)]
        row = _column(samples.profile[name], parts, seen) | _differences(parts) | _unseen(name, unseen)
        table.append(row | {"alone": areas[0] if areas else None, "alone_further": areas[1:]})
    return pl.DataFrame(table, schema=TYPES, orient="row")


def _alone(name: str, goal: Goal, train: pl.DataFrame) -> float | None:
    return None if goal.rule.column in {None, name} else alone(train[name], train[TARGET])


def _column(values: pl.Series, parts: Mapping[str, pl.Series], seen: Look) -> dict[str, Any]:
    summary, whole = seen.columns[values.name], len(values) == seen.rows
    full = _flat(values)
    # Ties by value, so that the same rows always give the same table.
    counts = full.alias("value").value_counts(name="n").sort(["n", "value"], descending=[True, False]).head(TOP)
    numeric = full.dtype.is_numeric()
    full = full.sort() if numeric else full
    bins = Bins.of(full) if numeric and len(full) else None
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
        "lengths": _quantiles(values.drop_nulls().list.len()) if isinstance(values.dtype, pl.List) else [],
        "quantiles": _quantiles(full) if numeric else [],
        "edges": bins.edges if bins else [],
        "histogram": bins.counts(full) if bins else [],
        "top_values": plain(counts["value"].to_list()),
        "top_counts": counts["n"].to_list(),
        **{f"histogram_{split}": bins.counts(_flat(part)) if bins else [] for split, part in parts.items()},
        **{f"top_{split}": _times(counts["value"], _flat(part)) for split, part in parts.items()},
    }


def _flat(values: pl.Series) -> pl.Series:
    """The values that are there; of lists, their elements."""
    return elements(values).drop_nulls() if isinstance(values.dtype, pl.List) else values.drop_nulls()


def _quantiles(full: pl.Series) -> list[Any]:
    return [full.quantile(q, "linear") for q in QUANTILES] if len(full) else []


def _times(values: pl.Series, among: pl.Series) -> list[int]:
    """How often each of some values occurs."""
    met = among.filter(among.is_in(values.implode())) if len(values) else among.head(0)
    found = dict(met.alias("value").value_counts(name="n").iter_rows())
    return [int(found.get(value, 0)) for value in values]


def _differences(parts: Mapping[str, pl.Series]) -> dict[str, Any]:
    """Rows and nulls of each split, and how far the later ones lie from the training rows."""
    told: dict[str, Any] = {}
    train = Reference(parts[SPLITS[0]])
    for split, part in parts.items():
        told |= {f"rows_{split}": len(part), f"nulls_{split}": _share(part)}
        found = train.drift(part) if split != SPLITS[0] else None
        if found is not None:
            figures = {"psi": found.psi, "chance": found.chance, "js": found.js, "ks": found.ks, "drifts": found.large}
            told |= {f"{key}_{split}": value for key, value in figures.items()}
    return told


def _share(part: pl.Series) -> float | None:
    return round(part.null_count() / len(part), 9) if len(part) else None


def _rounded(mean: float | None) -> float | None:
    """Nine digits: the order in which rows are summed changes later ones."""
    return None if mean is None else float(f"{mean:.9g}")


def _text(value: Any) -> str | None:
    return None if value is None else plain([value])[0]


def _unseen(name: str, unseen: Mapping[str, Mapping[str, float]]) -> dict[str, float | None]:
    return {f"unseen_{split}": unseen.get(split, {}).get(name) for split in HELD_OUT}


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
    for split in HELD_OUT:
        if files[split] and ranges:
            rows = pl.scan_parquet(list(files[split]), glob=False)
            flat = {raw: place for raw, place in ranges.items() if not fitted.schema[place[0]].is_list}
            asked = [pl.col(name).is_between(*ids).mean().alias(raw) for raw, (name, ids) in flat.items()]
            shares[split] = rows.select(asked).collect(engine="streaming").row(0, named=True) if asked else {}
            for raw, (name, ids) in ranges.items():
                if raw not in flat:
                    among = rows.select(pl.col(name).explode(empty_as_null=False).drop_nulls().is_between(*ids).mean())
                    shares[split][raw] = among.collect(engine="streaming").item()
    return shares


def _unknown_ids(fitted: Fitted) -> dict[str, tuple[str, tuple[int, int]]]:
    """Raw column -> the output with its vocabulary and the range of ids that mean "unknown"."""
    found = {}
    ports = {port: name for name, port in fitted.outputs.items()}
    for step in fitted.steps:
        if not (isinstance(step.operator, Categorify) and isinstance(step.state, Vocabularies)):
            continue
        for name, ids in step.operator.unknown_ids(step.columns, step.state).items():
            port = step.references[name]
            raw = fitted.inputs_of([ports[port]]) if port in ports else ()
            if len(raw) == 1:
                found[raw[0]] = (ports[port], (ids.start, ids.stop - 1))
    return found
