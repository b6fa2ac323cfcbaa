"""One cheap pass over all raw rows: what is there, before anything is learned from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from core.dataset import ROW


@dataclass(frozen=True)
class Summary:
    """What one column holds; of a column of lists, what their elements are.

    Attributes:
        nulls: Rows without a value.
        distinct: Number of distinct values, by HyperLogLog (within a few percent).
        low: The smallest value of an ordered column.
        high: The largest.
        mean: Of a numeric one.
    """

    nulls: int
    distinct: int
    low: Any = None
    high: Any = None
    mean: float | None = None


@dataclass(frozen=True)
class Look:
    """Summaries of all columns.

    Attributes:
        rows: Number of rows.
        last_row: The largest ROW, -1 without rows.
        columns: By name.
    """

    rows: int
    last_row: int
    columns: Mapping[str, Summary]

    @property
    def nulls(self) -> dict[str, int]:
        """Rows without a value, by column."""
        return {name: summary.nulls for name, summary in self.columns.items()}


def look(frame: pl.LazyFrame, types: Mapping[str, pl.DataType]) -> Look:
    """Look at every row once.

    Example:
        >>> frame = pl.LazyFrame({ROW: [0, 1], "age": [20, None]})
        >>> look(frame, {"age": pl.Int64()}).columns["age"].nulls
        1
    """
    lists = [name for name, dtype in types.items() if isinstance(dtype, pl.List)]
    plain_types = {name: dtype for name, dtype in types.items() if name != ROW and name not in lists}
    asked = [pl.len().alias("rows"), pl.col(ROW).max().alias("last"), pl.col(lists).null_count().name.suffix("@nulls")]
    for place, (name, dtype) in enumerate(plain_types.items()):
        asked += [part.alias(f"{place}{key}") for key, part in _parts(pl.col(name), dtype).items()]
    found = frame.select(asked).collect(engine="streaming").row(0, named=True)
    columns = {
        name: Summary(**{key: found[f"{place}{key}"] for key in _parts(pl.col(name), dtype)})
        for place, (name, dtype) in enumerate(plain_types.items())
    }
    columns |= {name: _elements(frame, name, found[f"{name}@nulls"]) for name in lists}
    return Look(
        found["rows"], -1 if found["last"] is None else found["last"], {n: columns[n] for n in types if n != ROW}
    )


def passes_of_look(types: Mapping[str, pl.DataType]) -> int:
    """How often `look` reads the rows: once, and once more for each column of lists."""
    return 1 + sum(isinstance(dtype, pl.List) for dtype in types.values())


def _elements(frame: pl.LazyFrame, name: str, nulls: int) -> Summary:
    """Summary of the elements of lists, and of rows without a list; a pass of its own, so that elements stream by."""
    flat = frame.select(name).drop_nulls().explode(name, empty_as_null=False)
    inner = flat.collect_schema()[name]
    value = pl.col(name).fill_nan(None) if inner.is_float() else pl.col(name)
    found = (
        flat.select(value)
        .drop_nulls()
        .select(**_parts(pl.col(name), inner))
        .collect(engine="streaming")
        .row(0, named=True)
    )
    return Summary(**{**found, "nulls": nulls})


def _parts(value: pl.Expr, dtype: pl.DataType) -> dict[str, pl.Expr]:
    parts = {"nulls": value.null_count(), "distinct": value.approx_n_unique()}
    if dtype.is_numeric() or dtype.is_temporal():
        parts |= {"low": value.min(), "high": value.max()}
    if dtype.is_numeric():
        parts["mean"] = value.mean()
    return parts


def plain(values: Sequence[Any]) -> list[str]:
    """Values as texts, for a table that holds values of many types.

    Example:
        >>> plain([1, 0.5, "a"])
        ['1', '0.5', 'a']
    """
    return [f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
