"""Rows of a learned table, found by one or several key columns: in Polars by a join, in ONNX by label encoders.

A table holds its keys in the columns `key@0`, `key@1`, ... (Int64 or String), each combination once. Null is a key
like any other: rows without a value form a group of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
import polars as pl
from pydantic import BeforeValidator, Field

from core.errors import UserError
from core.schema import Column, DType
from core.spec import custom_error, listed
from etl.onnx import INT_NULL, GraphBuilder, Value
from etl.ops.base import Collected, State, Wiring
from etl.ops.key_rows import RowNumbers
from etl.ops.keys import integral, key_expression, key_node

Groups = tuple[tuple[str, ...], ...]
KEY = "key@"


def _names(value: object) -> object:
    """One name or several, and no node."""
    if not isinstance(value, str | list | tuple):
        told = "must be the name of a column, or a list of names; what an operator makes can stand beside the keys:"
        raise custom_error("names", f"{told} (keys + node) >> ...")
    return listed(value)


Names = Annotated[tuple[str, ...], BeforeValidator(_names), Field(min_length=1)]
"""A setting: one column or several."""
AnyNames = Annotated[tuple[str, ...], BeforeValidator(lambda value: () if value is None else _names(value))]
"""A setting: any number of columns; None: no column."""


@dataclass(frozen=True)
class Key:
    """The columns that together find a row.

    Attributes:
        columns: One or more, in order.
    """

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def places(self) -> list[str]:
        """Names of the columns of a table that hold the key."""
        return places(len(self.columns))

    def label(self, separator: str = "_") -> str:
        """The names as one."""
        return separator.join(self.names)

    @property
    def belongs(self) -> Column:
        """A column with the tags that all key columns share: what is found by them belongs to the same side."""
        tags = frozenset.intersection(*(column.tags for column in self.columns))
        return Column(self.label(), DType.FLOAT64, tags)

    def expressions(self, wiring: Wiring) -> list[pl.Expr]:
        """The key of each row, under the names of a table's key columns."""
        found = [key_expression(pl.col(wiring.inputs[column.name]), column) for column in self.columns]
        return [x.alias(place) for x, place in zip(found, self.places, strict=True)]


def places(count: int) -> list[str]:
    """Names of the key columns of a table.

    Example:
        >>> places(2)
        ['key@0', 'key@1']
    """
    return [f"{KEY}{index}" for index in range(count)]


def keys_of(columns: Sequence[Column], groups: Groups, beside: Iterable[str] = ()) -> list[Key]:
    """The keys that an operator is applied to: each group of columns, and each column that is in no group.

    Groups of which some columns are missing are left out: the operator was narrowed to others.

    Args:
        columns: What the operator is applied to.
        groups: As they were written.
        beside: Columns that are no keys (the target), though they came with the keys.

    Example:
        >>> a, b, c = (Column(name, DType.STRING) for name in "abc")
        >>> [key.names for key in keys_of((a, b, c), (("a", "b"),))]
        [('a', 'b'), ('c',)]
    """
    known = {column.name: column for column in columns}
    grouped = {name for group in groups for name in group}
    found: dict[tuple[str, ...], None] = {}
    for name in known:
        if name in grouped:
            found.update(dict.fromkeys(group for group in groups if name in group and known.keys() >= set(group)))
        elif name not in beside:
            found[name,] = None
    return [Key(tuple(known[name] for name in names)) for names in found]


def fractions(keys: Iterable[Key], wiring: Wiring) -> dict[str, pl.Expr]:
    """Scalars that `require_whole` reads: how many values of a float column are no whole numbers."""
    floats = {column.name: column for key in keys for column in key.columns if column.dtype == DType.FLOAT64}
    return {f"fractions@{name}": (~integral(pl.col(wiring.inputs[name]))).cast(pl.Int64).sum() for name in floats}


def require_whole(collected: Collected, kind: str) -> None:
    """Refuse keys that are real numbers.

    Raises:
        UserError: A column holds one; names it.
    """
    for scalar, count in collected.scalars.items():
        if scalar.startswith("fractions@") and count:
            raise UserError(
                f"{kind} takes whole numbers or strings as keys, and the column holds other numbers",
                where=f"column {scalar.removeprefix('fractions@')}",
                cure="put bucketize before",
            )


def add_found(
    frame: pl.LazyFrame, key: Key, wiring: Wiring, table: pl.DataFrame, outputs: Mapping[str, str]
) -> pl.LazyFrame:
    """Add columns of a table to the rows that have its keys; null where the table has no such key.

    Args:
        frame: Rows.
        key: What to look up.
        wiring: Where the key lies.
        table: Holds each key once.
        outputs: Column of the table -> name of the new column.
    """
    first = next(iter(outputs.values()))
    if wiring.collect is None:
        row = f"{first}!row"
        frame = frame.with_columns(row_number(key, wiring, table).alias(row))
        found = [taken(pl.col(row), table[name]).alias(output) for name, output in outputs.items()]
        return frame.with_columns(found).drop(row)
    own = {place: f"{first}!{place}" for place in key.places}
    frame = frame.with_columns(x.alias(own[x.meta.output_name()]) for x in key.expressions(wiring))
    chosen = table.lazy().select(*key.places, *(pl.col(name).alias(output) for name, output in outputs.items()))
    joined = frame.join(
        chosen,
        left_on=list(own.values()),
        right_on=key.places,
        how="left",
        nulls_equal=True,
        maintain_order="left" if wiring.ordered else "none",
    )
    return joined.drop(own.values())


def row_number(key: Key, wiring: Wiring, table: pl.DataFrame) -> pl.Expr:
    """The number of the table's row that has a row's key, or the number of its rows where none has.

    For plans that may hold Python: several times faster than a join, and nothing is built for each batch.
    """
    expressions = key.expressions(wiring)
    x = expressions[0] if len(expressions) == 1 else pl.struct(expressions)
    return x.map_batches(RowNumbers(table), return_dtype=pl.Int32, is_elementwise=True)


def taken(row: pl.Expr, values: pl.Series) -> pl.Expr:
    """What a column of a table holds in a row; null behind its last row. For plans that may hold Python."""
    longer = pl.concat([values, pl.Series(values.name, [None], values.dtype)], rechunk=True)
    return row.map_batches(longer.gather, return_dtype=values.dtype, is_elementwise=True)


def row_node(graph: GraphBuilder, inputs: Sequence[Value], table: pl.DataFrame) -> Value:
    """The number of the table's row that has this key, or the number of its rows where none has: int64.

    Several columns become one by and by: the numbers of two values, put together, are one number.
    """
    parts = places(len(inputs))
    if len(inputs) == 1:
        return _encoded(graph, key_node(graph, inputs[0]), table[parts[0]])
    value, numbers, _ = _part(graph, inputs[0], table[parts[0]])
    for index, part in enumerate(parts[1:], start=1):
        other, theirs, count = _part(graph, inputs[index], table[part])
        scaled = graph.op("Mul", value, graph.constant(count + 1, "int64"), dtype="int64")
        both = graph.op("Add", scaled, other, dtype="int64")
        numbers = numbers * (count + 1) + theirs
        if index == len(parts) - 1:
            return _encoded(graph, both, pl.Series(numbers))
        distinct, numbers = np.unique(numbers, return_inverse=True)
        value = _encoded(graph, both, pl.Series(distinct))
    raise AssertionError


def take_node(graph: GraphBuilder, row: Value, values: Sequence[Any], missing: Any, dtype: str) -> Value:
    """What a column of the table holds in a row; `missing` behind its last row."""
    return graph.op("Gather", graph.constant([*values, missing], dtype), row, dtype=dtype)


def _part(graph: GraphBuilder, x: Value, values: pl.Series) -> tuple[Value, Any, int]:
    """The number of a value among the distinct ones of a key column: in the graph, and in each row of the table."""
    distinct = values.unique().sort()
    numbers = pl.DataFrame({"value": values}).join(
        pl.DataFrame({"value": distinct, "number": np.arange(len(distinct))}),
        on="value",
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    return _encoded(graph, key_node(graph, x), distinct), numbers["number"].to_numpy(), len(distinct)


def _encoded(graph: GraphBuilder, key: Value, values: pl.Series) -> Value:
    """Position of a key among distinct values, or their number."""
    count = len(values)
    settings: dict[str, Any]
    if key.dtype == "string":
        keys = values.fill_null("").to_list()
        settings = {"keys_strings": keys, "values_int64s": list(range(count)), "default_int64": count}
    else:
        settings = {
            "keys_tensor": values.cast(pl.Int64).fill_null(INT_NULL).to_numpy(),
            "values_tensor": np.arange(count, dtype=np.int64),
            "default_tensor": np.array([count], np.int64),
        }
    return graph.op("LabelEncoder", key, dtype="int64", domain="ai.onnx.ml", **settings)


@dataclass(frozen=True, eq=False)
class KeyedTables(State):
    """By key (its columns' names): a table with one row a key."""

    by_key: Mapping[str, pl.DataFrame]

    def tables(self) -> dict[str, pl.DataFrame]:
        """See `State`."""
        return dict(self.by_key)

    @classmethod
    def load(cls, value: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> Self:
        """See `State`."""
        for name, table in tables.items():
            if not key_places(table):
                raise ValueError(f"the table of {name} has no key")
        return cls(dict(tables))

    def of(self, key: Key) -> pl.DataFrame:
        """The table of a key."""
        return self.by_key[table_name(key)]


def in_order(table: pl.DataFrame) -> pl.DataFrame:
    """A learned table in the order of its keys, null first."""
    return table.sort(key_places(table))


def key_places(table: pl.DataFrame) -> list[str]:
    """The key columns of a table."""
    return [name for name in table.columns if is_key_place(name)]


def is_key_place(name: str) -> bool:
    """Whether a column of a table is called as its keys are."""
    return re.fullmatch(rf"{KEY}\d+", name) is not None


def table_name(key: Key) -> str:
    """What a key's table is called in a state; no two keys share it.

    Example:
        >>> table_name(Key((Column("a", DType.STRING), Column("b", DType.STRING))))
        '["a", "b"]'
    """
    return json.dumps(key.names, ensure_ascii=False)
