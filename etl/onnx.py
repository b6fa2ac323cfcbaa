"""The small protocol through which an operator writes itself into a serving graph.

The graph is built by `serve`; operators only see this. Nulls travel as values: NaN in floats, the smallest
int64 in integers, "" in strings. Every value is a vector [n] where n is the number of rows, or 1 for a value
that holds for all rows of the request (a user against many candidates).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

INT_NULL = -(2**63)
"""What stands for null in an int64 input."""


@dataclass(frozen=True)
class Value:
    """One tensor of the graph: its name and its element type (int64, float32, float64, string, bool)."""

    name: str
    dtype: str


@dataclass(frozen=True)
class Ragged(Value):
    """A column of lists, as Merlin sends it: the elements of all rows one after the other, and where rows begin.

    Attributes:
        offsets: int64 [rows + 1]: row i holds the elements offsets[i] .. offsets[i+1] - 1. A null list is empty.
    """

    offsets: Value


def values_name(name: str) -> str:
    """Input or output of the graph that holds the elements of a list column."""
    return f"{name}__values"


def offsets_name(name: str) -> str:
    """The one that says where its rows begin."""
    return f"{name}__offsets"


def like(given: Value, made: Value) -> Value:
    """Values that were made of others one by one: lists again where those were lists."""
    return Ragged(made.name, made.dtype, given.offsets) if isinstance(given, Ragged) else made


class GraphBuilder(Protocol):
    """Adds nodes to a graph; knows nothing of operators. Attributes are plain values or numpy arrays (tensors)."""

    def op(self, kind: str, *inputs: Value, dtype: str, domain: str = "", **attributes: Any) -> Value:
        """Add the node `kind` with one output of element type `dtype`."""
        ...

    def constant(self, values: Any, dtype: str) -> Value:
        """Add a constant: a scalar, a list or a numpy array (large ones become initializers)."""
        ...


def is_null(graph: GraphBuilder, value: Value) -> Value:
    """A bool: the value stands for null."""
    if value.dtype in {"float32", "float64"}:
        return graph.op("IsNaN", value, dtype="bool")
    if value.dtype == "string":
        # Opset 18 compares no strings; a vocabulary of the empty string does.
        settings = {"keys_strings": [""], "values_int64s": [1], "default_int64": 0}
        return cast_to(graph, graph.op("LabelEncoder", value, dtype="int64", domain="ai.onnx.ml", **settings), "bool")
    return graph.op("Equal", value, graph.constant(INT_NULL, value.dtype), dtype="bool")


def to_float(graph: GraphBuilder, value: Value) -> Value:
    """A number as float64; the null of an integer becomes NaN."""
    if value.dtype == "float64":
        return value
    cast = cast_to(graph, value, "float64")
    if value.dtype != "int64":
        return cast
    return like(value, where(graph, is_null(graph, value), graph.constant(float("nan"), "float64"), cast))


def where(graph: GraphBuilder, condition: Value, then: Value, otherwise: Value) -> Value:
    """`then` where the condition holds, else `otherwise`."""
    return graph.op("Where", condition, then, otherwise, dtype=then.dtype)


def cast_to(graph: GraphBuilder, value: Value, dtype: str) -> Value:
    """The value as another element type."""
    return value if value.dtype == dtype else like(value, graph.op("Cast", value, dtype=dtype, to=ELEMENT[dtype]))


ELEMENT = {"float32": 1, "int64": 7, "string": 8, "bool": 9, "float64": 11, "uint32": 12, "uint64": 13}
"""Numbers of the element types in ONNX (TensorProto.DataType), so that operators need no onnx package."""
