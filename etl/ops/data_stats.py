"""Statistics of columns, for the schema."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import polars as pl

from core.schema import Column, DType
from etl.ops.base import Collected, State, Statistics, Wiring
from etl.ops.declare import embedding_width
from etl.ops.normalize import merged_moments, moments, round_to
from etl.ops.nvt import nvtabular_ops
from etl.ops.unchanged import Unchanged
from etl.types import FLOATS

_RESERVED = 3
"""Ids of categorify beside the values: padding, null, out of vocabulary."""


@dataclass(frozen=True, eq=False)
class ColumnStats(State):
    """What is known of each column.

    Attributes:
        numbers: By column: `rows`, `filled`, and `low`, `high`, `mean`, `std` (of lengths, for strings).
        distinct: By column that holds no floats: its values, in order; so that two parts can be put together.
    """

    numbers: dict[str, dict[str, float]]
    distinct: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """See `State`."""
        return {
            name: {key: None if not math.isfinite(value) else value for key, value in one.items()}
            for name, one in self.numbers.items()
        }

    def tables(self) -> dict[str, pl.DataFrame]:
        """See `State`."""
        return dict(self.distinct)

    @classmethod
    def load(cls, value: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> Self:
        """See `State`."""
        numbers = {
            name: {key: math.nan if found is None else found for key, found in one.items()}
            for name, one in value.items()
        }
        return cls(numbers, dict(tables))


class DataStats(Unchanged[ColumnStats]):
    """Statistics of the training rows as properties of the schema; the columns stay as they are.

    `min`, `max`, `mean`, `std` (ddof 1; of the lengths, for strings), `per_nan` (percent of rows without a value),
    `dtype`; and for integers and strings `cardinality` (number of distinct values) and `embedding_sizes`, which a
    vocabulary of all of them would have. What is not finite is null.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"age": [20, 40, None, 60]})
        >>> found = Workflow(["age"] >> DataStats()).fit(frame).schema["age"].properties
        >>> found["min"], found["max"], found["mean"], found["std"], found["per_nan"], found["cardinality"]
        (20.0, 60.0, 40.0, 20.0, 25.0, 3)
    """

    kind = "data_stats"
    state_type = ColumnStats

    def outputs(self, columns: Sequence[Column], state: ColumnStats | None = None) -> tuple[Column, ...]:
        """Declare the columns with what is known of them."""
        if state is None:
            return tuple(columns)
        return tuple(replace(one, properties={**one.properties, **_properties(one, state)}) for one in columns)

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """Moments in one table, extremes as scalars, and distinct values."""
        made: list[pl.Expr] = []
        scalars: dict[str, pl.Expr] = {}
        tables: dict[str, pl.LazyFrame] = {}
        for column in columns:
            name, raw = column.name, pl.col(wiring.inputs[column.name])
            x = raw.str.len_chars().cast(pl.Float64) if column.dtype == DType.STRING else raw.cast(pl.Float64)
            made += [x.mean().alias(f"mean@{name}"), x.std(ddof=1).alias(f"std@{name}")]
            scalars |= {f"rows@{name}": pl.len(), f"filled@{name}": raw.count()}
            scalars |= {f"low@{name}": x.min(), f"high@{name}": x.max()}
            if column.dtype not in FLOATS:
                values = frame.select(raw.alias("value")).filter(pl.col("value").is_not_null())
                tables[f"values@{name}"] = values.unique(maintain_order=False)
        return Statistics(scalars, {"moments": moments(frame, made, wiring), **tables})

    def learn(self, collected: Collected, columns: Sequence[Column]) -> ColumnStats:
        """Read them."""
        moments = collected.tables["moments"].row(0, named=True)
        numbers, distinct = {}, {}
        for column in columns:
            name = column.name
            one = {key: collected.scalars[f"{key}@{name}"] for key in ("rows", "filled", "low", "high")}
            one |= {key: moments[f"{key}@{name}"] for key in ("mean", "std")}
            numbers[name] = _settled({key: math.nan if value is None else value for key, value in one.items()})
            if f"values@{name}" in collected.tables:
                distinct[name] = collected.tables[f"values@{name}"].sort("value")
        return ColumnStats(numbers, distinct)

    def merge(self, old: ColumnStats, new: ColumnStats, columns: Sequence[Column]) -> ColumnStats:
        """Put moments together (Chan, Golub and LeVeque, 1983), and values."""
        numbers = {name: _merged(one, new.numbers[name]) for name, one in old.numbers.items()}
        distinct = {
            name: pl.concat([table, new.distinct[name]]).unique().sort("value") for name, table in old.distinct.items()
        }
        return ColumnStats(numbers, distinct)

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.DataStats`."""
        return nvtabular_ops().DataStats()


def _settled(one: dict[str, float]) -> dict[str, float]:
    """Round moments, so that the order of rows does not show; what is constant has no deviation."""
    if one["low"] == one["high"]:
        deviation = 0.0 if one["filled"] > 1 else math.nan
        return {**one, "mean": one["low"], "std": deviation}
    if not (math.isfinite(one["mean"]) and math.isfinite(one["std"])):
        return {**one, "mean": math.nan, "std": math.nan}
    return {**one, "mean": round_to(one["mean"], one["std"]), "std": round_to(one["std"], one["std"])}


def _merged(old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, float]:
    rows = {"rows": old["rows"] + new["rows"]}
    if not (old["filled"] and new["filled"]):
        return {**(old if old["filled"] else new), **rows}
    # The deviation of one value is not defined, and adds nothing.
    parts = ((int(one["filled"]), one["mean"], one["std"] if one["filled"] > 1 else 0.0) for one in (old, new))
    mean, std = merged_moments(*parts)
    made = {
        "filled": old["filled"] + new["filled"],
        "low": min(old["low"], new["low"]),
        "high": max(old["high"], new["high"]),
        "mean": mean,
        "std": std,
    }
    return _settled({**made, **rows})


def _properties(column: Column, state: ColumnStats) -> dict[str, Any]:
    one = state.numbers[column.name]
    found: dict[str, Any] = {
        key: one[name] if math.isfinite(one[name]) else None
        for key, name in {"min": "low", "max": "high", "mean": "mean", "std": "std"}.items()
    }
    found |= {"per_nan": 100.0 * (1 - one["filled"] / one["rows"]), "dtype": column.dtype.value}
    if column.name in state.distinct:
        size = state.distinct[column.name].height
        ids = size + _RESERVED
        sizes = {"cardinality": ids, "dimension": embedding_width(ids)}
        found |= {"cardinality": size, "embedding_sizes": sizes}
    return found
