"""Whether NVTabular gave what will be served: its output beside that of the workflow which took its fit over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from core.dataset import ROW
from core.errors import UserError
from core.schema import Column
from etl.fitted import Fitted
from etl.steps import needed
from etl.types import FLOATS

_NEAR = 1e-4
"""Of numbers, relative and absolute: NVTabular's LogOp computes in float32, and what follows may magnify that."""


def require_equal(theirs: pl.LazyFrame, ours: pl.LazyFrame, fitted: Fitted) -> None:
    """Compare two transforms of the same rows; both carry ROW.

    Ids must be equal; numbers nearly so.

    Raises:
        UserError: They differ; names the column, the operators that made it, and the first row.
    """
    columns = fitted.schema.columns
    # A row that is missing on one side differs, too.
    both = theirs.join(ours, on=ROW, how="full", coalesce=True, suffix="@ours")
    differing = [_differs(column).alias(column.name) for column in columns]
    counted = both.select(pl.len().alias(ROW), *(flag.sum() for flag in differing)).collect(engine="streaming")
    found = counted.row(0, named=True)
    for column in columns:
        if found[column.name]:
            first = both.filter(_differs(column)).sort(ROW).head(1).collect().row(0, named=True)
            raise _fault(column, found[column.name], found[ROW], first, fitted)


def require_rows(own: pl.LazyFrame, training: pl.LazyFrame) -> None:
    """Check that two frames hold the same rows, by ROW.

    Raises:
        UserError: They don't.
    """
    one, other = own.select(ROW, here=pl.lit(value=True)), training.select(ROW, there=pl.lit(value=True))
    alone = one.join(other, on=ROW, how="full", coalesce=True).filter(
        pl.col("here").is_null() | pl.col("there").is_null()
    )
    first = alone.sort(ROW).head(1).collect(engine="streaming")
    if first.height:
        raise UserError(
            f"the training rows are not those that NVTabular was fitted on (row {first.item(0, ROW)})",
            where="engine nvtabular",
            cure="fit and write the same training rows",
        )


def _differs(column: Column) -> pl.Expr:
    """Whether a row's two values are not the same."""
    one, other = pl.col(column.name), pl.col(f"{column.name}@ours")
    if column.is_list or column.dtype not in FLOATS:
        return one.ne_missing(other)
    one, other = one.cast(pl.Float64).fill_nan(None), other.cast(pl.Float64).fill_nan(None)
    near = (one - other).abs() <= _NEAR * (1 + other.abs())
    # Infinite values are equal, not near.
    return ~(one.eq_missing(other) | near.fill_null(value=False))


def _fault(column: Column, count: int, rows: int, first: Mapping[str, Any], fitted: Fitted) -> UserError:
    steps, _ = needed([fitted.outputs[column.name]], fitted.steps)
    kinds = ", ".join(step.operator.kind for step in steps)
    theirs, ours = first[column.name], first[f"{column.name}@ours"]
    return UserError(
        f"NVTabular gives other values than would be served, in {count} of {rows} rows"
        f" ({kinds}; row {first[ROW]}: {theirs} there, {ours} when served)",
        where=f"engine nvtabular, feature {column.name}",
        cure="docs/nvtabular.md lists the known differences; leave the operator out, or set `etl.engine: cpu`",
    )
