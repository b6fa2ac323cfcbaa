"""Another table, made ready to be joined by key: checked, with the types that operators see, each key once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import polars as pl

from core.errors import UserError
from core.schema import Column, DType
from core.suggest import did_you_mean
from etl.onnx import INT_NULL
from etl.ops.base import State
from etl.ops.keyed import Key, in_order, is_key_place, key_places
from etl.ops.keys import integral, key_dtype, key_expression
from etl.types import canonical, canonical_dtype, dtype_of

NULLS: Mapping[DType, tuple[str, Any]] = {
    DType.INT64: ("int64", INT_NULL),
    DType.FLOAT64: ("float64", math.nan),
    DType.STRING: ("string", ""),
}
"""Type in the serving graph, and what stands for null there, of the columns of such a table."""


@dataclass(frozen=True, eq=False)
class ExternalTable(State):
    """Its key columns, then its values, each under its name."""

    table: pl.DataFrame

    @cached_property
    def values(self) -> dict[str, DType]:
        """Names and types of its values, in order."""
        keys = key_places(self.table)
        return {name: dtype_of(dtype, name) for name, dtype in self.table.schema.items() if name not in keys}

    def tables(self) -> dict[str, pl.DataFrame]:
        """See `State`."""
        return {"table": self.table}

    @classmethod
    def load(cls, value: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> Self:
        """See `State`."""
        if not key_places(tables["table"]):
            raise ValueError("the joined table has no key")
        return cls(tables["table"])


def prepared(
    table: pl.DataFrame,
    key: Key,
    *,
    on_ext: Sequence[str],
    columns: Sequence[str] | None,
    unique: bool,
    where: str,
) -> ExternalTable:
    """Check a table and bring it into order.

    Args:
        table: As it was given.
        key: The columns that it will be joined to.
        on_ext: Its own columns that hold the key.
        columns: Which columns to take, all by default. The key is taken where it has another name than there.
        unique: Drop rows that are equal in everything that is taken.
        where: What messages call the table.

    Raises:
        UserError: A column is missing or of another type than the key it is joined to, or a key occurs twice.
    """
    for name in (*on_ext, *(columns or ())):
        if name not in table.columns:
            raise UserError(
                f"{where} has no such column", where=f"column {name}", cure=did_you_mean(name, table.columns)
            )
    same = {theirs for theirs, ours in zip(on_ext, key.names, strict=True) if theirs == ours}
    taken = [name for name in (columns or table.columns) if name not in same]
    keys = [
        _key(table, name, column, place, where)
        for name, column, place in zip(on_ext, key.columns, key.places, strict=True)
    ]
    made = table.select(*keys, *(_value(table, name, where) for name in taken))
    made = made.unique() if unique else made
    _require_once(made, on_ext, where)
    return ExternalTable(in_order(made))


def canonical_column(table: pl.DataFrame, name: str) -> Column:
    """A column of a table as operators see it."""
    found = table.schema[name]
    return Column(name, canonical_dtype(dtype_of(found, name)), is_list=isinstance(found, pl.List))


def _key(table: pl.DataFrame, name: str, column: Column, place: str, where: str) -> pl.Expr:
    dtype, theirs = dtype_of(table.schema[name], name), canonical_column(table, name)
    if key_dtype(theirs) != key_dtype(column) or theirs.is_list:
        held = "lists" if theirs.is_list else dtype.value
        raise UserError(
            f"the key is {column.dtype.value} in the rows and {held} in {where}",
            where=f"column {name}",
            cure="store both as integers or both as strings",
        )
    x = canonical(name, dtype)
    if theirs.dtype == DType.FLOAT64 and table.select((~integral(x)).any()).item():
        raise UserError(f"the key holds numbers in {where} that are not whole", where=f"column {name}")
    return key_expression(x, theirs).alias(place)


def _value(table: pl.DataFrame, name: str, where: str) -> pl.Expr:
    if is_key_place(name):
        raise UserError(f"no column of {where} can have this name", where=f"column {name}", cure="rename it")
    if isinstance(table.schema[name], pl.List):
        told = f"the column holds lists in {where}, which can't be joined"
        raise UserError(told, where=f"column {name}", cure="leave it out with columns_ext")
    return canonical(name, dtype_of(table.schema[name], name)).alias(name)


def _require_once(table: pl.DataFrame, on_ext: Sequence[str], where: str) -> None:
    if table.is_empty():
        raise UserError("the table to join has no rows", where=where)
    places = key_places(table)
    if not set(table.columns) - set(places):
        raise UserError("the table to join has no column beside the key", where=where)
    twice = table.group_by(places).len().filter(pl.col("len") > 1).sort(places).head(1)
    if twice.height:
        *value, count = twice.row(0)
        shown = ", ".join(f"{name} {one!r}" for name, one in zip(on_ext, value, strict=True))
        raise UserError(
            f"the key {shown} stands in {count} rows of the table",
            where=where,
            cure="keep one row a key; rows that are equal go with drop_duplicates_ext",
        )
