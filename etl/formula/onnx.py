"""Formulas in ONNX, on float64. Null is NaN, which arithmetic passes on by itself; the rest says so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from etl.formula.parse import Name, Number, Tree
from etl.onnx import GraphBuilder, Value, cast_to, where

_ARITHMETIC = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}
_SINGLE = {"neg": "Neg", "abs": "Abs", "ceil": "Ceil", "exp": "Exp", "floor": "Floor", "log": "Log", "sqrt": "Sqrt"}
_COMPARE = {"lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal"}
_CHOOSE = {"min": "LessOrEqual", "max": "GreaterOrEqual"}


def to_onnx(graph: GraphBuilder, tree: Tree, columns: Mapping[str, Value]) -> Value:
    """The formula as nodes of a graph.

    Args:
        graph: Takes the nodes.
        tree: What `parse` gave.
        columns: By name, as float64.
    """
    return _Writer(graph, columns).write(tree)


@dataclass(frozen=True)
class _Writer:
    graph: GraphBuilder
    columns: Mapping[str, Value]

    def write(self, tree: Tree) -> Value:
        if isinstance(tree, Number):
            return self._constant(tree.value)
        if isinstance(tree, Name):
            return self.columns[tree.name]
        name, arguments = tree.function, [self.write(argument) for argument in tree.arguments]
        if name in _ARITHMETIC:
            return self._float(_ARITHMETIC[name], *arguments)
        if name in _SINGLE:
            return self._float(_SINGLE[name], *arguments)
        if name in _COMPARE:
            return self._known(arguments, self._compare(_COMPARE[name], *arguments))
        if name in _CHOOSE:
            first = self.graph.op(_CHOOSE[name], *arguments, dtype="bool")
            return self._known(arguments, where(self.graph, first, *arguments))
        method: Value = getattr(self, f"_{name}")(*arguments)
        return method

    def _floordiv(self, x: Value, y: Value) -> Value:
        return self._float("Floor", self._float("Div", x, y))

    def _mod(self, x: Value, y: Value) -> Value:
        return self._float("Sub", x, self._float("Mul", self._floordiv(x, y), y))

    def _pow(self, x: Value, y: Value) -> Value:
        # IEEE 754 has NaN ** 0 = 1 ** NaN = 1.
        return self._known([x, y], self._float("Pow", x, y))

    def _log1p(self, x: Value) -> Value:
        return self._float("Log", self._float("Add", self._constant(1.0), x))

    def _ne(self, x: Value, y: Value) -> Value:
        return self._known([x, y], self._invert(self._compare("Equal", x, y)))

    def _not(self, x: Value) -> Value:
        return self._invert(self._truth(x))

    def _and(self, x: Value, y: Value) -> Value:
        return self._float("Mul", self._truth(x), self._truth(y))

    def _or(self, x: Value, y: Value) -> Value:
        neither = self._float("Mul", self._invert(self._truth(x)), self._invert(self._truth(y)))
        return self._invert(neither)

    def _is_null(self, x: Value) -> Value:
        return cast_to(self.graph, self.graph.op("IsNaN", x, dtype="bool"), "float64")

    def _fill_null(self, x: Value, y: Value) -> Value:
        return where(self.graph, self.graph.op("IsNaN", x, dtype="bool"), y, x)

    def _where(self, condition: Value, x: Value, y: Value) -> Value:
        # An unknown condition takes the second branch.
        known = self._fill_null(condition, self._constant(0.0))
        zero = self.graph.op("Equal", known, self._constant(0.0), dtype="bool")
        return where(self.graph, zero, y, x)

    def _truth(self, x: Value) -> Value:
        return self._ne(x, self._constant(0.0))

    def _invert(self, x: Value) -> Value:
        return self._float("Sub", self._constant(1.0), x)

    def _compare(self, kind: str, x: Value, y: Value) -> Value:
        return cast_to(self.graph, self.graph.op(kind, x, y, dtype="bool"), "float64")

    def _known(self, arguments: list[Value], value: Value) -> Value:
        """The value where every argument is known, else null."""
        for argument in arguments:
            null = self.graph.op("IsNaN", argument, dtype="bool")
            value = where(self.graph, null, self._constant(math.nan), value)
        return value

    def _float(self, kind: str, *arguments: Value) -> Value:
        return self.graph.op(kind, *arguments, dtype="float64")

    def _constant(self, value: float) -> Value:
        return self.graph.constant(value, "float64")
