"""Types of columns: Polars' against ours, and the three that operators see.

Raw columns come in many types. A workflow first brings each to one of three, so that an operator, and the
serving graph behind it, needs no more: int64 (integers, booleans, dates and times in microseconds), float64 and
string. In the same step the values that stand for null become null: NaN, the smallest int64, the empty string.
"""

from __future__ import annotations

import polars as pl

from core.errors import UserError
from core.schema import Column, DType, Tag
from etl.onnx import INT_NULL

POLARS: dict[DType, pl.DataType] = {
    DType.INT8: pl.Int8(),
    DType.INT16: pl.Int16(),
    DType.INT32: pl.Int32(),
    DType.INT64: pl.Int64(),
    DType.UINT8: pl.UInt8(),
    DType.UINT16: pl.UInt16(),
    DType.UINT32: pl.UInt32(),
    DType.UINT64: pl.UInt64(),
    DType.FLOAT32: pl.Float32(),
    DType.FLOAT64: pl.Float64(),
    DType.BOOL: pl.Boolean(),
    DType.STRING: pl.String(),
    DType.DATETIME: pl.Datetime("us"),
    DType.DATE: pl.Date(),
}
"""The Polars type of each of ours."""


def polars_type(column: Column) -> pl.DataType:
    """The Polars type of a column, on disk and in a frame.

    Example:
        >>> polars_type(Column("genres", DType.STRING, is_list=True))
        List(String)
    """
    return pl.List(POLARS[column.dtype]) if column.is_list else POLARS[column.dtype]


FLOATS = frozenset({DType.FLOAT32, DType.FLOAT64})
TIMES = frozenset({DType.DATE, DType.DATETIME})
INTEGERS = frozenset(DType) - FLOATS - TIMES - {DType.STRING, DType.BOOL}
"""Whole numbers as the data hold them, signed or not."""


def dtype_of(dtype: pl.DataType, name: str) -> DType:
    """Our type for a Polars type; of a list, the type of its elements.

    Raises:
        UserError: Columns of this type are not supported; names the column.

    Example:
        >>> dtype_of(pl.Categorical(), "city"), dtype_of(pl.Datetime("ns"), "time")
        (<DType.STRING: 'string'>, <DType.DATETIME: 'datetime'>)
    """
    if isinstance(dtype, pl.List):
        if isinstance(dtype.inner, pl.List):
            raise UserError("lists of lists are not supported", where=f"column {name}", cure="flatten the column")
        return dtype_of(pl.Series(dtype=dtype.inner).dtype, name)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return DType.STRING
    if isinstance(dtype, pl.Datetime):
        return DType.DATETIME
    if isinstance(dtype, pl.Decimal):
        return DType.FLOAT64
    for ours, theirs in POLARS.items():
        if dtype == theirs:
            return ours
    if str(dtype) in {"Int128", "UInt128"}:
        raise UserError(
            "the column holds integers beyond the largest int64 (2^63 - 1)",
            where=f"column {name}",
            cure=f"store ids as strings, and numbers as floats (for a CSV: `dtypes: {{{name}: string}}`)",
        )
    if isinstance(dtype, pl.Null):
        raise UserError("the column holds no value at all", where=f"column {name}", cure="leave it out")
    raise UserError(
        f"columns of the type {dtype} are not supported",
        where=f"column {name}",
        cure="give numbers, strings, booleans, dates or times, or lists of them",
    )


def canonical_dtype(dtype: DType) -> DType:
    """The type under which operators see a raw column.

    Example:
        >>> canonical_dtype(DType.BOOL).value, canonical_dtype(DType.FLOAT32).value
        ('int64', 'float64')
    """
    if dtype in FLOATS:
        return DType.FLOAT64
    return DType.STRING if dtype == DType.STRING else DType.INT64


def canonical(name: str, dtype: DType, *, is_list: bool = False) -> pl.Expr:
    """A raw column as operators see it: one of three types, and null where a value stands for null.

    The elements of lists only get their type: GPU plans can't look into lists, so the values that stand for
    null in them become null where an operator takes them out (`clean`).

    Args:
        name: The raw column in the frame.
        dtype: The type that it (or the elements of its lists) has there.
        is_list: Its rows hold lists.

    Example:
        >>> frame = pl.DataFrame({"x": [1.5, float("nan")], "s": ["", "a"]})
        >>> frame.select(canonical("x", DType.FLOAT64), canonical("s", DType.STRING)).rows()
        [(1.5, None), (None, 'a')]
    """
    if not is_list:
        return clean(pl.col(name), dtype)
    value = pl.col(name)
    if dtype in TIMES:
        value = value.cast(pl.List(pl.Datetime("us")))
    return value.cast(pl.List(POLARS[canonical_dtype(dtype)]))


def clean(value: pl.Expr, dtype: DType) -> pl.Expr:
    """A single value of this type as operators see it; see `canonical`.

    Example:
        >>> pl.DataFrame({"s": ["", "a"]}).select(clean(pl.col("s"), DType.STRING)).to_series().to_list()
        [None, 'a']
    """
    if dtype in FLOATS:
        return value.cast(pl.Float64).fill_nan(None)
    if dtype == DType.STRING:
        text = value.cast(pl.String)
        return pl.when(text != "").then(text)
    if dtype in TIMES:
        value = value.cast(pl.Datetime("us"))
    whole = value.cast(pl.Int64)
    # Only these types can hold the value that stands for null.
    if dtype in {DType.INT64, DType.DATETIME}:
        return pl.when(whole != INT_NULL).then(whole)
    return whole


def check_drift(raw: Column, found: pl.DataType) -> DType:
    """Check that a column still has the type it was fitted on, or one that widens to it: the type to read.

    Raises:
        UserError: The type has changed; names the column and both types.

    Example:
        >>> check_drift(Column("age", DType.FLOAT32), pl.Int8())
        <DType.INT8: 'int8'>
    """
    if isinstance(found, pl.Null):
        return raw.dtype
    if isinstance(found, pl.List) != raw.is_list:
        was, now_is = ("lists", "single values") if raw.is_list else ("single values", "lists")
        raise UserError(
            f"the column was fitted on {was} and holds {now_is} now",
            where=f"column {raw.name}",
            cure=f"give {was}, or fit again",
        )
    if found == pl.List(pl.Null):
        return raw.dtype
    now = dtype_of(found, raw.name)
    kinds = [FLOATS, TIMES, INTEGERS | {DType.BOOL}, frozenset({DType.STRING})]
    same = any(raw.dtype in kind and now in kind for kind in kinds)
    widens = raw.dtype in FLOATS and now in INTEGERS | {DType.BOOL}
    if not (same or widens):
        raise UserError(
            f"the column was fitted as {raw.dtype.value} and is {now.value} now",
            where=f"column {raw.name}",
            cure=f"give it as {raw.dtype.value}, or fit again",
        )
    return now


def columns_of(schema: pl.Schema, tags: dict[str, frozenset[Tag]] | None = None) -> dict[str, Column]:
    """Columns by name for the types of a frame that are supported; the others are left out.

    Example:
        >>> columns_of(pl.Schema({"age": pl.Int8()}))["age"].dtype
        <DType.INT8: 'int8'>
    """
    known = tags or {}
    found = {}
    for name, dtype in schema.items():
        try:
            is_list = isinstance(dtype, pl.List)
            found[name] = Column(name, dtype_of(dtype, name), known.get(name, frozenset()), is_list)
        except UserError:
            continue
    return found
