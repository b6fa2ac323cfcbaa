"""Formulas in ONNX, on float64. Null is NaN, which arithmetic passes on by itself; the rest says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.errors import UserError
from etl.formula.parse import ONE_OF
from etl.formula.tree import Name, Number, Text, Tree
from etl.onnx import GraphBuilder, Value, cast_to, is_null, where


def to_onnx(graph: GraphBuilder, tree: Tree, columns: Mapping[str, Value]) -> Value:
    """The formula as nodes of a graph.

    Args:
        graph: Takes the nodes.
        tree: What `parse` gave.
        columns: By name, as float64 or string.

    Raises:
        UserError: The formula looks into texts (`starts_with`), which graphs of this version can't.
    """
    writer = _Writer(graph)
    if isinstance(tree, Number):
        return writer.constant(tree.value)
    if isinstance(tree, Name):
        return columns[tree.name]
    assert not isinstance(tree, Text), "a text stands only beside what compares it"
    texts = [argument.value for argument in tree.arguments if isinstance(argument, Text)]
    given = [to_onnx(graph, argument, columns) for argument in tree.arguments if not isinstance(argument, Text)]
    if texts:
        return _compared(writer, tree.function, given[0], texts)
    return FUNCTIONS[tree.function](writer, *given)


@dataclass(frozen=True)
class _Writer:
    """The pieces that functions are made of."""

    graph: GraphBuilder

    def constant(self, value: float) -> Value:
        return self.graph.constant(value, "float64")

    def node(self, kind: str, *arguments: Value) -> Value:
        return self.graph.op(kind, *arguments, dtype="float64")

    def known(self, arguments: tuple[Value, ...], value: Value) -> Value:
        """The value where every argument is known, else null."""
        for argument in arguments:
            value = where(self.graph, is_null(self.graph, argument), self.constant(math.nan), value)
        return value

    def compare(self, kind: str, x: Value, y: Value) -> Value:
        """1 or 0, null where one of the two is."""
        holds = self.graph.op(kind, x, y, dtype="bool")
        return self.known((x, y), cast_to(self.graph, holds, "float64"))

    def choose(self, kind: str, x: Value, y: Value) -> Value:
        """The first where the comparison holds, else the second."""
        return self.known((x, y), where(self.graph, self.graph.op(kind, x, y, dtype="bool"), x, y))

    def invert(self, x: Value) -> Value:
        return self.node("Sub", self.constant(1.0), x)

    def truth(self, x: Value) -> Value:
        return self.invert(self.compare("Equal", x, self.constant(0.0)))


def _compared(w: _Writer, function: str, x: Value, texts: list[str]) -> Value:
    """Whether a string is one of some texts."""
    if function != ONE_OF:
        cure = f"list the values: `x in [...]`, or keep {function} to filters"
        raise UserError(f"{function} can't be served: ONNX compares whole texts only", where="formula", cure=cure)
    settings = {"keys_strings": texts, "values_int64s": [1] * len(texts), "default_int64": 0}
    found = w.graph.op("LabelEncoder", x, dtype="int64", domain="ai.onnx.ml", **settings)
    return w.known((x,), cast_to(w.graph, found, "float64"))


def _either(w: _Writer, x: Value, y: Value) -> Value:
    return w.invert(w.node("Mul", w.invert(w.truth(x)), w.invert(w.truth(y))))


def _floordiv(w: _Writer, x: Value, y: Value) -> Value:
    return w.node("Floor", w.node("Div", x, y))


def _fill_null(w: _Writer, x: Value, y: Value) -> Value:
    return where(w.graph, is_null(w.graph, x), y, x)


def _where(w: _Writer, condition: Value, x: Value, y: Value) -> Value:
    """An unknown condition takes the second branch."""
    known = _fill_null(w, condition, w.constant(0.0))
    return where(w.graph, w.graph.op("Equal", known, w.constant(0.0), dtype="bool"), y, x)


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "add": lambda w, x, y: w.node("Add", x, y),
    "sub": lambda w, x, y: w.node("Sub", x, y),
    "mul": lambda w, x, y: w.node("Mul", x, y),
    "div": lambda w, x, y: w.node("Div", x, y),
    "floordiv": _floordiv,
    "mod": lambda w, x, y: w.node("Sub", x, w.node("Mul", _floordiv(w, x, y), y)),
    # IEEE 754 has NaN ** 0 = 1 ** NaN = 1.
    "pow": lambda w, x, y: w.known((x, y), w.node("Pow", x, y)),
    "neg": lambda w, x: w.node("Neg", x),
    "not": lambda w, x: w.invert(w.truth(x)),
    "and": lambda w, x, y: w.node("Mul", w.truth(x), w.truth(y)),
    "or": _either,
    "lt": lambda w, x, y: w.compare("Less", x, y),
    "le": lambda w, x, y: w.compare("LessOrEqual", x, y),
    "gt": lambda w, x, y: w.compare("Greater", x, y),
    "ge": lambda w, x, y: w.compare("GreaterOrEqual", x, y),
    "eq": lambda w, x, y: w.compare("Equal", x, y),
    "ne": lambda w, x, y: w.invert(w.compare("Equal", x, y)),
    "abs": lambda w, x: w.node("Abs", x),
    "ceil": lambda w, x: w.node("Ceil", x),
    "exp": lambda w, x: w.node("Exp", x),
    "floor": lambda w, x: w.node("Floor", x),
    "log": lambda w, x: w.node("Log", x),
    "log1p": lambda w, x: w.node("Log", w.node("Add", w.constant(1.0), x)),
    "sqrt": lambda w, x: w.node("Sqrt", x),
    "min": lambda w, x, y: w.choose("LessOrEqual", x, y),
    "max": lambda w, x, y: w.choose("GreaterOrEqual", x, y),
    "is_null": lambda w, x: cast_to(w.graph, is_null(w.graph, x), "float64"),
    "fill_null": _fill_null,
    "where": _where,
}
"""One entry for every function and operator of a formula, as in `etl.formula.polars`."""
