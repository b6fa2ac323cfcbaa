"""Counts and sums of a target by key and fold, and the values that target_encoding makes of them.

A table has, beside its keys, the columns `count@TARGET@FOLD` and `whole@TARGET@FOLD`, and for targets that are
floats `rest@TARGET@FOLD` (see `etl.ops.sums`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from core.schema import Column, DType
from etl.ops.base import Wiring
from etl.ops.keyed import Key, add_found, in_order, key_places, row_number, table_name, taken
from etl.ops.sums import part_names, total

FULL = "full"
"""Stands for all folds."""


def summed(table: pl.DataFrame, target: str) -> Column:
    """A target as far as its sums tell: floats have a rest."""
    return Column(target, DType.FLOAT64 if f"rest@{target}@0" in table.columns else DType.INT64)


def added(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """The table of the rows of two."""
    keys = key_places(old)
    return in_order(pl.concat([old, new]).group_by(keys).agg(pl.exclude(keys).sum()))


def mean(table: pl.DataFrame, target: str, kfold: int) -> float:
    """The mean of a target over all rows; 0 where no row has one."""
    sums = {name: one.sum() for name, one in _sums(table, target, range(kfold)).items()}
    count, value = table.select(sums["count"], (total(sums) / sums["count"]).alias("mean")).row(0)
    return float(value) if count else 0.0


def encoded(table: pl.DataFrame, means: Mapping[str, float], *, kfold: int, p_smooth: float) -> pl.DataFrame:
    """By key: the value of new rows, `full@TARGET`, and of training rows in each fold, `0@TARGET` and on.

    Args:
        table: Counts and sums.
        means: By target: what is smoothed with.
        kfold: Number of folds.
        p_smooth: How many rows the mean weighs as.
    """
    made = []
    for target, common in means.items():
        for name, folds in _views(kfold):
            sums = _sums(table, target, folds)
            weight = sums["count"] + p_smooth
            value = pl.when(weight > 0).then((total(sums) + p_smooth * common) / weight).otherwise(common)
            made.append(value.alias(f"{name}@{target}"))
    return table.select(*key_places(table), *made)


def looked_up(
    frame: pl.LazyFrame,
    key: Key,
    wiring: Wiring,
    table: pl.DataFrame,
    means: Mapping[str, float],
    *,
    kfold: int,
    fold: str,
) -> tuple[pl.LazyFrame, list[pl.Expr]]:
    """The value of each target for the key and the fold of a row, and the frame that this is an expression over.

    Args:
        frame: Rows.
        key: What to look up.
        wiring: Where it lies.
        table: What `encoded` gave.
        means: By target: the value of a key that is not in the table.
        kfold: Number of folds.
        fold: Where the fold of a row lies; null for new rows.
    """
    views, prefix = [name for name, _ in _views(kfold)], f"{fold}!{table_name(key)}"
    if wiring.collect is None:
        # One look into a list that holds, for each key, the values of all views.
        row = f"{prefix}!row"
        frame = frame.with_columns(row_number(key, wiring, table).alias(row))
        view = (pl.col(fold) + 1).fill_null(0) if kfold > 1 else pl.lit(0)
        cell = (pl.col(row).cast(pl.Int64) * len(views) + view).clip(upper_bound=table.height * len(views))
        cells = [table.select(f"{name}@{target}" for name in views).to_numpy().ravel() for target in means]
        made = [taken(cell, pl.Series(values)) for values in cells]
    else:
        found = {name: f"{prefix}!{name}" for name in table.columns if name not in key.places}
        frame = add_found(frame, key, wiring, table, found)
        made = [_chosen(found, target, views, fold) for target in means]
    return frame, [value.fill_null(common) for value, common in zip(made, means.values(), strict=True)]


def _chosen(found: Mapping[str, str], target: str, views: Sequence[str], fold: str) -> pl.Expr:
    """The value of the row's own fold, of those of all."""
    value = pl.col(found[f"{FULL}@{target}"])
    for number, view in enumerate(views[1:]):
        value = pl.when(pl.col(fold) == number).then(pl.col(found[f"{view}@{target}"])).otherwise(value)
    return value


def _views(kfold: int) -> Iterator[tuple[str, list[int]]]:
    """The folds whose rows count: for new rows, and for the rows of each fold."""
    every = list(range(kfold))
    yield FULL, every
    for own in every if kfold > 1 else []:
        yield str(own), [fold for fold in every if fold != own]


def _sums(table: pl.DataFrame, target: str, folds: Sequence[int]) -> dict[str, pl.Expr]:
    """Count and parts of the sum over some folds."""
    names = ("count", *part_names(summed(table, target)))
    return {part: pl.sum_horizontal([pl.col(f"{part}@{target}@{fold}") for fold in folds]) for part in names}
