"""What NVTabular learned by key, read from its `cat_stats.NAME.parquet`, as tables of join_groupby and target_encoding.

Its files hold keys, the number of rows and, for each number, statistics that are computed to the end. It counts the
values of the first column of a key: rows without one have the count 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import Column, DType
from etl.nvtabular.by_key import keys
from etl.ops.group_stats import COUNT, gathered
from etl.ops.join_groupby import JoinGroupby
from etl.ops.keyed import Key, KeyedTables, in_order, table_name
from etl.ops.keys import integral, key_dtype
from etl.ops.sums import parts
from etl.ops.target_encoding import FOLD, TargetEncoding
from etl.ops.target_sums import mean
from etl.types import POLARS

Files = Mapping[str, Any]
STATS = ("sum", "mean", "std", "var", "min", "max")
_LARGEST = 2.0**62
_NEAR = 1e-9
BESIDE = "beside"
"""Under this name stand the files of the operator that `by_key.beside` gives."""


def group_statistics(
    theirs: Mapping[str, Files], operator: JoinGroupby, columns: Sequence[Column], numbers: Mapping[str, Column]
) -> KeyedTables:
    """The state of join_groupby.

    A mean is theirs: the sum by the number of rows, with those that have no value.

    Raises:
        UserError: A key holds fractions, a sum is too large, or rows without a key have a mean or a deviation.
    """
    return KeyedTables(
        {table_name(key): _group_table(theirs, operator, key, numbers) for key in keys(operator, columns)}
    )


def _group_table(
    theirs: Mapping[str, Files], operator: JoinGroupby, key: Key, numbers: Mapping[str, Column]
) -> pl.DataFrame:
    label = key.label(operator.name_sep)
    found = _read(theirs["categories"][label], key)
    if BESIDE in theirs:
        found = found.join(_read(theirs[BESIDE][label], key), on=key.places, how="left", nulls_equal=True)
    count = pl.col(operator.name_sep.join((label, COUNT))).cast(pl.Int64)
    if {"mean", "std", "var"}.intersection(operator.stats):
        _require_keys(found.select(count), key, "divides by their number, 0")
    made = [count.alias(COUNT)]
    for name in operator.cont_cols:
        named = {stat: operator.name_sep.join((label, name, stat)) for stat in STATS}
        asked = {stat: pl.col(column) for stat, column in named.items() if column in found.columns}
        _require_sums(found, _sum(asked, count), name)
        values = _number(asked, count, numbers[name])
        made += [values[part].alias(f"{part}@{name}") for part in gathered(pl.lit(0), numbers[name], operator.stats)]
    return in_order(found.select(*key.places, *made))


def _number(asked: Mapping[str, pl.Expr], count: pl.Expr, column: Column) -> dict[str, pl.Expr]:
    """What our tables hold of a number, of the statistics that were asked for."""
    spread = asked.get("var", asked["std"].pow(2) if "std" in asked else pl.lit(None, pl.Float64))
    sums = _sum(asked, count)
    if column.dtype != DType.FLOAT64:
        sums = sums.round()
    nothing = pl.lit(None, pl.Float64)
    return {
        "filled": count,
        **parts(sums, column),
        "low": asked.get("min", nothing).cast(pl.Float64).fill_nan(None),
        "high": asked.get("max", nothing).cast(pl.Float64).fill_nan(None),
        # What rounding left of equal numbers can have no root: NaN there, null here.
        "spread": pl.when(count > 1).then((spread * (count - 1)).fill_nan(None)).otherwise(0.0),
    }


def _sum(asked: Mapping[str, pl.Expr], count: pl.Expr) -> pl.Expr:
    """The sum of a number, or what its mean says of it; 0 where none is needed."""
    if "sum" in asked:
        return asked["sum"].cast(pl.Float64)
    return asked["mean"].cast(pl.Float64) * count if "mean" in asked else pl.lit(0.0)


def target_statistics(
    theirs: Mapping[str, Files], operator: TargetEncoding, columns: Sequence[Column], numbers: Mapping[str, Column]
) -> KeyedTables:
    """The state of target_encoding; its folds are NVTabular's.

    Raises:
        UserError: A key holds fractions, a sum is too large, or rows have no key or no target.
    """
    tables = {}
    for key in keys(operator, columns):
        table = _target_table(theirs["stats"], operator, key, numbers)
        tables[table_name(key)] = table
        for target in operator.target:
            _require_mean(mean(table, target, operator.kfold), float(theirs["means"][target]), target)
    return KeyedTables(tables)


def _target_table(files: Files, operator: TargetEncoding, key: Key, numbers: Mapping[str, Column]) -> pl.DataFrame:
    separator = operator.name_sep
    label = key.label(separator)
    every = _read(files[label], key)
    _require_keys(every.select(pl.col(separator.join((label, COUNT))).alias(COUNT)), key, "doesn't count them")
    if operator.kfold > 1:
        label = separator.join((FOLD, label))
        every = _read(files[label], key, FOLD)
    else:
        every = every.with_columns(pl.lit(0).alias(FOLD))
    made = []
    for target in operator.target:
        x = pl.col(separator.join((label, target, "sum"))).cast(pl.Float64)
        _require_sums(every, x, target)
        values = {COUNT: pl.col(separator.join((label, COUNT))), **parts(x, numbers[target])}
        made += [
            value.filter(pl.col(FOLD) == fold).sum().cast(pl.Int64).alias(f"{part}@{target}@{fold}")
            for part, value in values.items()
            for fold in range(operator.kfold)
        ]
    return in_order(every.group_by(key.places).agg(made))


def _read(path: str, key: Key, *beside: str) -> pl.DataFrame:
    """A file with its keys as ours."""
    place = Path(path)
    # A column's name stands in the path, and may look like a pattern.
    found = pl.read_parquet(sorted(place.glob("*.parquet")) if place.is_dir() else place, glob=False)
    for column in key.columns:
        values = found[column.name]
        if values.dtype.is_float() and not found.select(integral(pl.col(column.name).fill_nan(None)).all()).item():
            raise UserError(
                "only whole numbers and strings can be keys, and the column holds other numbers",
                where=f"engine nvtabular, column {column.name}",
                cure="put bucketize before",
            )
    made = [
        _key(found[column.name], column).alias(place) for column, place in zip(key.columns, key.places, strict=True)
    ]
    return found.select(*made, *beside, pl.exclude(*key.names, *beside))


def _key(values: pl.Series, column: Column) -> pl.Series:
    known = values.fill_nan(None) if values.dtype.is_float() else values
    return known.cast(POLARS[key_dtype(column)])


def _require_keys(counts: pl.DataFrame, key: Key, what: str) -> None:
    if (counts.to_series() == 0).any():
        raise UserError(
            f"NVTabular takes rows without a value in the key, and {what}",
            where=f"engine nvtabular, column {key.names[0]}",
            cure="put fill_missing before (docs/nvtabular.md), or set `etl.engine: cpu`",
        )


def _require_sums(found: pl.DataFrame, sums: pl.Expr, name: str) -> None:
    # NaN is not below anything.
    odd = found.select(sums.alias("sum")).filter(~(pl.col("sum").abs() < _LARGEST))
    if odd.height:
        raise UserError(
            f"a sum that NVTabular learned from the column is too large ({odd.item(0, 0):.3g})",
            where=f"engine nvtabular, column {name}",
            cure="put log or clip before",
        )


def _require_mean(ours: float, theirs: float, target: str) -> None:
    if not abs(ours - theirs) <= _NEAR * (1 + abs(theirs)):
        raise UserError(
            "NVTabular counts rows that have no target, so its encoding can't be taken over"
            f" (their mean is {theirs}, that of its sums {ours})",
            where=f"engine nvtabular, column {target}",
            cure="leave those rows out, or set `etl.engine: cpu`",
        )
