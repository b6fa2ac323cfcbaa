"""The wide frame of a workflow: raw columns go in under references, outputs come out under their names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import polars as pl

from core.dataset import ROW
from core.errors import UserError
from core.schema import Column
from core.suggest import did_you_mean
from etl.steps import CANONICAL, KEEP, RAW, ROW_REFERENCE, TRAINING_REFERENCE, reference
from etl.types import canonical, check_drift

TRAINED = "trained@flag"
"""Whether a row is one of those to learn from, in the wide frame of a fit that sees others too."""


def open_wide(
    frame: pl.LazyFrame,
    inputs: Sequence[Column],
    wanted: Collection[str],
    keep: Sequence[str] = (),
    *,
    training: pl.Expr | None = None,
    numbered: bool = False,
    flagged: bool = False,
    cast_lists: bool = True,
) -> pl.LazyFrame:
    """Start a wide frame: the raw columns that the references `wanted` are made of, and `keep` as they are.

    Args:
        frame: Raw rows.
        inputs: The raw columns of the workflow.
        wanted: References.
        keep: Columns of the frame.
        training: Which rows the workflow is fitted on; None: none of them.
        numbered: Add the numbers of rows: the column ROW where the frame has it, else their place.
        flagged: Add TRAINED.
        cast_lists: Give lists the type that operators see; a GPU plan can't, so `etl.values.lists` does it there.

    Raises:
        UserError: A column is missing or its type has changed since the fit.
    """
    types = frame.collect_schema()
    columns = []
    for column in inputs:
        raw, clean = reference(column.name, RAW), reference(column.name, CANONICAL)
        if raw not in wanted and clean not in wanted:
            continue
        _present(column.name, types.names(), "the workflow reads")
        now = check_drift(column, types[column.name])
        if raw in wanted:
            columns.append(pl.col(column.name).alias(raw))
        if clean in wanted:
            as_it_is = column.is_list and not cast_lists
            value = pl.col(column.name) if as_it_is else canonical(column.name, now, is_list=column.is_list)
            columns.append(value.alias(clean))
    for name in keep:
        _present(name, types.names(), "is to be kept")
        columns.append(pl.col(name).alias(reference(name, KEEP)))
    if numbered:
        if ROW not in types:
            frame = frame.with_row_index(ROW)
        columns.append(pl.col(ROW).alias(ROW_REFERENCE))
        known = pl.lit(value=False) if training is None else training
        columns.append(pl.when(known).then(pl.col(ROW)).alias(TRAINING_REFERENCE))
    if flagged and training is not None:
        columns.append(training.alias(TRAINED))
    return frame.select(columns)


def close_wide(frame: pl.LazyFrame, outputs: Iterable[tuple[str, pl.Expr]], keep: Sequence[str]) -> pl.LazyFrame:
    """Finish a wide frame: only the outputs, under their plain names, after what was kept."""
    kept = [pl.col(reference(name, KEEP)).alias(name) for name in keep]
    return frame.select([*kept, *(value.alias(name) for name, value in outputs)])


def _present(name: str, names: Sequence[str], why: str) -> None:
    if name not in names:
        told = did_you_mean(name, names)
        raise UserError(f"the data have no such column, which {why}", where=f"column {name}", cure=told)
