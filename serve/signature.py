"""What a model of the bundle takes and gives: named vectors with fixed types, nulls as values.

A column of lists is one input of ours and two tensors of the model; see `serve.lists`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.schema import Column, DType, Tag
from core.suggest import did_you_mean
from etl.onnx import INT_NULL, offsets_name, values_name
from serve.lists import joined, rows_of

Array = NDArray[Any]

FLOATS = {DType.FLOAT32: "float32", DType.FLOAT64: "float64"}
NULLS: Mapping[str, Any] = {"int64": INT_NULL, "float32": np.nan, "float64": np.nan, "string": ""}
"""The value that stands for null, by the type of an input."""
EMPTY_LIST = "empty list"
NULL_RULES = {"int64": "INT64_MIN", "float32": "NaN", "float64": "NaN", "string": "empty string"}
"""The same, in words for `schema.json`."""


@dataclass(frozen=True)
class Input:
    """One input of a model: a vector over the rows, or of length 1 when it holds for every row.

    Attributes:
        name: The raw column's name.
        dtype: int64, float32, float64 or string.
        raw: The column's type in the data.
        side: Whose column it is: user, item or context (of the event).
        is_list: Each row holds a list of such values.
        stored: The column of the users of a bundle that knows it, where that has another name.
    """

    name: str
    dtype: str
    raw: str
    side: str
    is_list: bool = False
    stored: str = ""

    @classmethod
    def of(cls, column: Column) -> Input:
        """The input for a raw column."""
        sides = [tag.value for tag in (Tag.USER, Tag.ITEM) if tag in column.tags]
        side = sides[0] if sides else Tag.CONTEXT.value
        return cls(column.name, input_dtype(column.dtype), column.dtype.value, side, column.is_list)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Input:
        """Read what `to_json` wrote."""
        name, dtype, raw, side = (str(value[key]) for key in ("name", "dtype", "raw", "side"))
        stored = str(value.get("stored", ""))
        return cls(name, dtype, raw, side, is_list=bool(value.get("is_list", False)), stored=stored)

    @property
    def column(self) -> str:
        """The column of the users or items of a bundle that knows it."""
        return self.stored or self.name

    @property
    def element(self) -> Input:
        """The same for one element of a list."""
        return replace(self, is_list=False)

    @property
    def tensors(self) -> tuple[Input, ...]:
        """What the model itself takes: vectors only."""
        if not self.is_list:
            return (self,)
        values = replace(self.element, name=values_name(self.name))
        return values, Input(offsets_name(self.name), "int64", "int64", self.side)

    @property
    def null(self) -> Array:
        """A vector of length 1 that says null; a list has no elements."""
        if self.is_list:
            return rows_of([np.empty(0, numpy_dtype(self.dtype))])
        return np.array([NULLS[self.dtype]], dtype=numpy_dtype(self.dtype))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        told = {name: value for name, value in asdict(self).items() if name != "stored" or value}
        return {**told, "null": EMPTY_LIST if self.is_list else NULL_RULES[self.dtype]}


@dataclass(frozen=True)
class Signature:
    """Inputs and the output of one model.

    Attributes:
        inputs: In order.
        output: Name of the output: float32, [rows] or [rows, width].
        width: Length of an output vector; 0 when the output is one number a row.
        further: Names of outputs beside it, float32 [rows]: the probability of each of several targets.
    """

    inputs: tuple[Input, ...]
    output: str
    width: int = 0
    further: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all outputs, in order."""
        return (self.output, *self.further)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(item.name for item in self.inputs)

    @property
    def tensors(self) -> tuple[Input, ...]:
        """What the model itself takes, in order."""
        return tuple(one for item in self.inputs for one in item.tensors)

    def feed(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors of the model for columns that are known to fit."""
        given: dict[str, Array] = {}
        for item in self.inputs:
            if item.is_list:
                parts = joined(columns[item.name], numpy_dtype(item.dtype))
                given |= {one.name: part for one, part in zip(item.tensors, parts, strict=True)}
            else:
                given[item.name] = columns[item.name]
        return given

    def of_side(self, *sides: str) -> tuple[Input, ...]:
        """The inputs of a side."""
        return tuple(item for item in self.inputs if item.side in sides)

    def check(self, columns: Mapping[str, Array]) -> int:
        """Check names, types and lengths of what a request gives: the number of rows.

        Raises:
            UserError: An input is unknown, missing, of another type, or of another length.
        """
        for name in columns:
            if name not in self.names:
                raise UserError("the model has no such input", where=name, cure=did_you_mean(name, self.names))
        missing = [name for name in self.names if name not in columns]
        if missing:
            raise UserError(f"inputs are missing: {', '.join(missing)}", cure="give a null where nothing is known")
        for item in self.inputs:
            _check_one(item, columns[item.name])
        return _rows(columns)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        inputs = [item.to_json() for item in self.inputs]
        output = {"name": self.output, "dtype": "float32", "width": self.width}
        return {"inputs": inputs, "output": output, **({"further": list(self.further)} if self.further else {})}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Signature:
        """Read what `to_json` wrote."""
        inputs = tuple(Input.from_json(each) for each in value["inputs"])
        further = tuple(str(name) for name in value.get("further", ()))
        return cls(inputs, str(value["output"]["name"]), int(value["output"]["width"]), further)


def input_dtype(dtype: DType) -> str:
    """The type that a raw column has in the serving graph.

    Example:
        >>> input_dtype(DType.INT8), input_dtype(DType.DATETIME), input_dtype(DType.FLOAT32)
        ('int64', 'int64', 'float32')
    """
    return "string" if dtype == DType.STRING else FLOATS.get(dtype, "int64")


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy type that holds an input of this type."""
    return np.dtype(object if dtype == "string" else dtype)


def is_null(one: Array) -> bool:
    """Whether a vector of length 1 says null."""
    value = one[0]
    if isinstance(value, np.ndarray):
        return value.size == 0
    return bool(value != value or value in (INT_NULL, ""))  # noqa: PLR0124 - NaN alone differs from itself


def _check_one(item: Input, values: Array) -> None:
    wanted, lists = numpy_dtype(item.dtype), values.tolist() if item.is_list else []
    if any(not isinstance(one, np.ndarray) or one.dtype != wanted or one.ndim != 1 for one in lists):
        raise UserError(f"the input must be arrays of {item.dtype}, one a row", where=item.name)
    if values.dtype != (object if item.is_list else wanted):
        raise UserError(f"the input must be {item.dtype}, got {values.dtype}", where=item.name)
    if values.ndim != 1 or values.size == 0:
        shape = list(values.shape)
        raise UserError(f"the input must have the shape [rows] or [1], got {shape}", where=item.name)


def _rows(columns: Mapping[str, Array]) -> int:
    lengths: Sequence[int] = sorted({len(values) for values in columns.values()} - {1})
    if len(lengths) > 1:
        shown = ", ".join(f"{name} has {len(values)}" for name, values in columns.items())
        raise UserError(f"inputs must have one common length, or 1: {shown}")
    return lengths[0] if lengths else 1
