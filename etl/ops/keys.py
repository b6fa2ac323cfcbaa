"""Keys: what vocabularies and hashes know of a column. Integers and strings are their own keys.

Floats that hold whole numbers (as pandas writes integers with nulls) become integers; another float is a key that
no vocabulary holds.
"""

from __future__ import annotations

import polars as pl

from core.schema import Column, DType
from etl.onnx import INT_NULL, GraphBuilder, Value, cast_to, where

_EXACT = 2.0**53
NO_KEY = -(2**62)
"""Key of a float that is no whole number: lies outside the floats that count as whole, and float64 holds it."""


def key_dtype(column: Column) -> DType:
    """Type of the keys of a column."""
    return DType.STRING if column.dtype == DType.STRING else DType.INT64


def integral(x: pl.Expr) -> pl.Expr:
    """Whether a float is a whole number that float64 holds exactly; null is null."""
    return (x == x.floor()) & (x.abs() < _EXACT)


def key_expression(x: pl.Expr, column: Column) -> pl.Expr:
    """The key in Polars: Int64 or String; null is null.

    Example:
        >>> column = Column("x", DType.FLOAT64)
        >>> frame = pl.DataFrame({"x": [3.0, 0.5, None]})
        >>> frame.select(key_expression(pl.col("x"), column))["x"].to_list()
        [3, -4611686018427387904, None]
    """
    if column.dtype == DType.STRING:
        return x
    if column.dtype != DType.FLOAT64:
        return x.cast(pl.Int64)
    whole = pl.when(integral(x)).then(x).otherwise(pl.lit(float(NO_KEY)))
    return pl.when(x.is_not_null()).then(whole).cast(pl.Int64)


def key_node(graph: GraphBuilder, x: Value) -> Value:
    """The key in ONNX: int64 or string, with the value that stands for null."""
    if x.dtype != "float64":
        return x
    floor = graph.op("Floor", x, dtype="float64")
    same = graph.op("Equal", x, floor, dtype="bool")
    exact = graph.op("Less", graph.op("Abs", x, dtype="float64"), graph.constant(_EXACT, "float64"), dtype="bool")
    whole = graph.op("And", same, exact, dtype="bool")
    known = where(graph, whole, x, graph.constant(float(NO_KEY), "float64"))
    null = graph.op("IsNaN", x, dtype="bool")
    return cast_to(graph, where(graph, null, graph.constant(float(INT_NULL), "float64"), known), "int64")
