"""From raw columns and plain values to the vectors that a model takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from core.errors import UserError
from core.suggest import did_you_mean
from etl.onnx import INT_NULL
from serve.lists import rows_of
from serve.signature import NULLS, Array, Input, Signature, numpy_dtype

POLARS = {"int64": pl.Int64, "float32": pl.Float32, "float64": pl.Float64, "string": pl.String}

PLAIN: Mapping[str, tuple[type, ...]] = {
    "int64": (int,),
    "float32": (int, float),
    "float64": (int, float),
    "string": (str,),
}
"""What a plain value of an input may be in Python."""


def encode(series: pl.Series, dtype: str) -> Array:
    """A raw column as the vector of an input: nulls become the value that stands for them; see `serve.lists` for lists.

    Raises:
        UserError: The column holds values that the type cannot.

    Example:
        >>> encode(pl.Series("age", [30, None]), "float64").tolist()
        [30.0, nan]
    """
    if isinstance(series.dtype, pl.List):
        elements = encode(series.drop_nulls().explode(empty_as_null=False), dtype)
        ends = series.list.len().fill_null(0).cast(pl.Int64).cum_sum().to_numpy()
        return rows_of(np.split(elements, ends[:-1])) if len(series) else rows_of([])
    # As `etl.types.canonical` reads them: dates and times in microseconds.
    timed = series.cast(pl.Datetime("us")) if series.dtype in {pl.Date, pl.Datetime} else series
    try:
        cast = timed.cast(POLARS[dtype]).fill_null(NULLS[dtype])
    except pl.exceptions.PolarsError as error:
        message = f"the values cannot be read as {dtype} ({error})"
        raise UserError(message, where=series.name) from None
    return cast.to_numpy().astype(numpy_dtype(dtype), copy=False)


def encode_frame(frame: pl.DataFrame, inputs: tuple[Input, ...]) -> dict[str, Array]:
    """The named columns of a frame as vectors; a column that is not there is null for all rows."""
    return {
        item.name: encode(frame[item.name], item.dtype) if item.name in frame.columns else item.null for item in inputs
    }


def parse(item: Input, value: Any) -> Array:
    """One plain value (from JSON or Python) as a vector of length 1.

    Raises:
        UserError: The value has another type than the input.

    Example:
        >>> parse(Input("age", "int64", "int64", "user"), 30).tolist()
        [30]
    """
    if value is None:
        return item.null
    if item.is_list:
        if not isinstance(value, list | tuple):
            raise UserError(f"the value must be a list, got {value!r}", where=item.name)
        elements = [parse(item.element, one) for one in value]
        return rows_of([np.concatenate([np.empty(0, numpy_dtype(item.dtype)), *elements])])
    # A bool is an int in Python; as an age it is a mistake.
    if not isinstance(value, PLAIN[item.dtype]) or (isinstance(value, bool) and item.raw != "bool"):
        shown = {"string": "a text", "int64": "a whole number"}.get(item.dtype, "a number")
        raise UserError(f"the value must be {shown}, got {value!r}", where=item.name)
    if isinstance(value, int) and item.dtype == "int64" and not INT_NULL <= value < -INT_NULL:
        raise UserError(f"the value does not fit 64 bits, got {value!r}", where=item.name)
    return np.array([value], dtype=numpy_dtype(item.dtype))


def typed(name: str, text: str, inputs: Mapping[str, Input]) -> Any:
    """A text as the plain value of an input; an unknown name is left for the recommender to refuse.

    The elements of a list stand between commas; an empty text is null.

    Raises:
        UserError: It is no number where the input takes numbers.

    Example:
        >>> typed("years", "1990,2000", {"years": Input("years", "int64", "int16", "item", is_list=True)})
        [1990, 2000]
    """
    if name in inputs and inputs[name].is_list:
        element = {name: inputs[name].element}
        return [typed(name, part, element) for part in text.split(",")] if text else None
    if text == "" or name not in inputs or inputs[name].dtype == "string":
        return text or None
    if inputs[name].dtype == "int64":
        return whole(text, name)
    try:
        return float(text)
    except ValueError:
        raise UserError(f"the value must be a number, got {text!r}", where=name) from None


def whole(text: str, name: str) -> int:
    """A text as a whole number.

    Raises:
        UserError: It is none.
    """
    try:
        return int(text)
    except ValueError:
        raise UserError(f"the value must be a whole number, got {text!r}", where=name) from None


def parse_features(features: Mapping[str, Any], allowed: Mapping[str, Input]) -> dict[str, Array]:
    """Plain values by name as vectors of length 1.

    Raises:
        UserError: A name is unknown or a value has the wrong type.
    """
    for name in features:
        if name not in allowed:
            cure = did_you_mean(name, allowed)
            raise UserError("there is no such feature", where=str(name), cure=cure)
    return {name: parse(allowed[name], value) for name, value in features.items()}


def features_of(signatures: tuple[Signature, ...], *sides: str) -> dict[str, Input]:
    """The inputs of these sides in any of the models, by name."""
    return {item.name: item for signature in signatures for item in signature.of_side(*sides)}
