"""Hashes that are the same in Polars on the CPU, in a GPU plan and in ONNX Runtime.

Integers: the finalizer of MurmurHash3 (fmix64) in wrapping uint64 arithmetic. Strings: MurmurHash3, 32 bits,
seed 0, of the UTF-8 bytes, which is ONNX Runtime's `com.microsoft.MurmurHash3`.
Source: A. Appleby, https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

import polars as pl

from core.schema import DType
from etl.onnx import INT_NULL, GraphBuilder, Value, cast_to, is_null, where

if TYPE_CHECKING:
    from etl.ops.base import Collect

_SHIFT = 33
_FACTORS = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)
_NULL_CODE = 2**63


def add_bucket(
    frame: pl.LazyFrame, key: str, dtype: DType, output: str, *, buckets: int, collect: Collect | None = None
) -> pl.LazyFrame:
    """Add the column `output`: the hash of the column `key` modulo `buckets`, Int32; null goes to bucket 0.

    Args:
        frame: Holds integers or strings in `key`.
        key: Name of the column to hash.
        dtype: INT64 (or INT32) or STRING.
        output: Name of the new column.
        buckets: At least 1.
        collect: Set where the plan can't hold Python. Then the distinct strings are computed first, hashed by
            the host, and joined: one more pass over the rows, and the order of rows may change.

    Example:
        >>> frame = pl.LazyFrame({"k": ["", "a", "é"]})
        >>> add_bucket(frame, "k", DType.STRING, "b", buckets=1000).collect()["b"].to_list()
        [0, 850, 495]
    """
    if dtype != DType.STRING or collect is None:
        return frame.with_columns(bucket(pl.col(key), dtype, buckets).alias(output))
    code = f"{output}!code"
    joined = _with_murmur3(frame, key, code, collect)
    return joined.with_columns(_modulo(pl.col(code), buckets, pl.UInt32).alias(output)).drop(code)


def bucket(x: pl.Expr, dtype: DType, buckets: int) -> pl.Expr:
    """The same as an expression, where the plan can hold Python.

    Example:
        >>> pl.DataFrame({"k": [["a"], []]}).select(pl.col("k").list.eval(bucket(pl.element(), DType.STRING, 1000)))[
        ...     "k"
        ... ].to_list()
        [[850], []]
    """
    if dtype != DType.STRING:
        return _modulo(fmix64(x), buckets, pl.UInt64)
    return _modulo(_murmur3(x), buckets, pl.UInt32)


def add_cross(
    frame: pl.LazyFrame,
    keys: Sequence[str],
    dtypes: Sequence[DType],
    output: str,
    *,
    buckets: int,
    collect: Collect | None = None,
) -> pl.LazyFrame:
    """Add the column `output`: the hash of several columns together modulo `buckets`, Int32.

    The hash so far is mixed with the code of the next column: h = fmix64(h xor code). An integer is its own code,
    a string has its MurmurHash3, null has 2^63.

    Args:
        frame: Holds integers or strings in `keys`.
        keys: Names of the columns to hash; their order matters.
        dtypes: INT64 (or INT32) or STRING, for each.
        output: Name of the new column.
        buckets: At least 1.
        collect: See `add_bucket`.

    Example:
        >>> frame = pl.LazyFrame({"a": [1, 2], "b": ["x", None]})
        >>> add_cross(frame, ["a", "b"], [DType.INT64, DType.STRING], "c", buckets=100).collect()["c"].to_list()
        [71, 92]
    """
    codes, made = [], []
    for number, (key, dtype) in enumerate(zip(keys, dtypes, strict=True)):
        code = pl.col(key)
        if dtype == DType.STRING and collect is not None:
            made.append(f"{output}!{number}")
            frame = _with_murmur3(frame, key, made[-1], collect)
            code = pl.col(made[-1]).cast(pl.UInt64)
        elif dtype == DType.STRING:
            code = _murmur3(code).cast(pl.UInt64)
        else:
            code = _bits(code)
        codes.append(code.fill_null(pl.lit(_NULL_CODE, pl.UInt64)))
    h = reduce(lambda h, code: _mixed(h ^ code), codes, pl.lit(0, pl.UInt64))
    return frame.with_columns(_modulo(h, buckets, pl.UInt64).alias(output)).drop(made)


def fmix64(x: pl.Expr) -> pl.Expr:
    """The finalizer of MurmurHash3 on 64-bit integers: UInt64.

    Example:
        >>> pl.select(fmix64(pl.lit(1, pl.Int64))).item() == 0xB456BCFC34C2CB2C
        True
    """
    return _mixed(_bits(x))


def murmur3(values: pl.Series) -> pl.Series:
    """MurmurHash3 (32 bits, seed 0) of strings: UInt32; null stays null. Each distinct value is hashed once.

    Example:
        >>> murmur3(pl.Series(["", "a", None])).to_list()
        [0, 1009084850, None]
    """
    import mmh3

    distinct = values.unique().drop_nulls()
    codes = [mmh3.hash(value.encode(), signed=False) for value in distinct]
    hashed = pl.Series(values.name, codes, pl.UInt32)
    if not len(distinct):
        return pl.Series(values.name, [None] * len(values), pl.UInt32)
    return values.replace_strict(distinct, hashed, default=None, return_dtype=pl.UInt32)


def bucket_node(graph: GraphBuilder, key: Value, buckets: int, null: Value) -> Value:
    """The same in ONNX, int64.

    Args:
        graph: Takes the nodes.
        key: int64 or string.
        buckets: At least 1.
        null: A bool: where the key stands for null.
    """
    if key.dtype == "string":
        # The hash of the empty string, which stands for null, is 0.
        code = graph.op("MurmurHash3", key, dtype="uint32", domain="com.microsoft", seed=0, positive=1)
        return _remainder(graph, cast_to(graph, code, "int64"), buckets)
    code = cast_to(graph, _remainder(graph, _mixed_node(graph, cast_to(graph, key, "uint64")), buckets), "int64")
    return graph.op("Where", null, graph.constant(0, "int64"), code, dtype="int64")


def cross_node(graph: GraphBuilder, keys: Sequence[Value], buckets: int) -> Value:
    """What `add_cross` computes, in ONNX: int64.

    Args:
        graph: Takes the nodes.
        keys: int64 or string; null as its value (`etl.onnx`).
        buckets: At least 1.
    """
    h: Value | None = None
    for key in keys:
        code = key
        if key.dtype == "string":
            murmur = graph.op("MurmurHash3", key, dtype="uint32", domain="com.microsoft", seed=0, positive=1)
            null = graph.constant(INT_NULL, "int64")
            code = where(graph, is_null(graph, key), null, cast_to(graph, murmur, "int64"))
        # The smallest int64, which stands for null, has the bits of 2^63.
        bits = cast_to(graph, code, "uint64")
        h = _mixed_node(graph, bits if h is None else graph.op("BitwiseXor", h, bits, dtype="uint64"))
    assert h is not None, "at least one column"
    return cast_to(graph, _remainder(graph, h, buckets), "int64")


def _modulo(code: pl.Expr, buckets: int, dtype: pl.DataType | type[pl.DataType]) -> pl.Expr:
    return (code % pl.lit(buckets, dtype)).cast(pl.Int32).fill_null(0)


def _murmur3(x: pl.Expr) -> pl.Expr:
    return x.map_batches(murmur3, return_dtype=pl.UInt32, is_elementwise=True)


def _with_murmur3(frame: pl.LazyFrame, key: str, output: str, collect: Collect) -> pl.LazyFrame:
    """The same where the plan can't hold Python: the host hashes the distinct strings, and they are joined."""
    distinct = collect([frame.select(pl.col(key)).unique()])[0][key].drop_nulls()
    table = pl.LazyFrame({f"{output}!key": distinct, output: murmur3(distinct)})
    return frame.join(table, left_on=key, right_on=f"{output}!key", how="left", maintain_order="none")


def _bits(x: pl.Expr) -> pl.Expr:
    return x.cast(pl.Int64).cast(pl.UInt64, wrap_numerical=True)


def _mixed(h: pl.Expr) -> pl.Expr:
    for factor in _FACTORS:
        h = _fold(h) * pl.lit(factor, pl.UInt64)
    return _fold(h)


def _mixed_node(graph: GraphBuilder, h: Value) -> Value:
    for factor in _FACTORS:
        h = graph.op("Mul", _fold_node(graph, h), graph.constant(factor, "uint64"), dtype="uint64")
    return _fold_node(graph, h)


def _fold(h: pl.Expr) -> pl.Expr:
    """Give h ^ (h >> 33); Polars has no shift, and an unsigned division by a power of two is one."""
    return h ^ (h // pl.lit(1 << _SHIFT, pl.UInt64))


def _fold_node(graph: GraphBuilder, h: Value) -> Value:
    shift = graph.constant(_SHIFT, "uint64")
    shifted = graph.op("BitShift", h, shift, dtype="uint64", direction="RIGHT")
    return graph.op("BitwiseXor", h, shifted, dtype="uint64")


def _remainder(graph: GraphBuilder, code: Value, buckets: int) -> Value:
    return graph.op("Mod", code, graph.constant(buckets, code.dtype), dtype=code.dtype)
