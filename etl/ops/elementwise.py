"""The shape that most operators share: each number becomes a number, row by row, computed in float64."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import polars as pl

from core.schema import Column
from etl.onnx import GraphBuilder, Value, to_float
from etl.ops.base import Operator, S, Wiring
from etl.ops.declare import continuous, require_numbers


class Elementwise(Operator[S]):
    """Maps each column of numbers to one of the same name.

    An operator gives the same arithmetic twice: `expression` in Polars and `node` in ONNX. Null is null in the
    one and NaN in the other, and passes through unless the operator says otherwise.
    """

    keeps_null: ClassVar[bool | None] = None
    """Whether the outputs can be null; None: as the input."""

    def outputs(self, columns: Sequence[Column], state: S | None = None) -> tuple[Column, ...]:
        """Declare the same columns as continuous floats."""
        require_numbers(columns, self.kind)
        return tuple(continuous(column, nullable=self.keeps_null) for column in columns)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: S) -> pl.LazyFrame:
        """Add one expression a column."""
        made = [
            self.expression(number(wiring, column), column.name, state).alias(wiring.outputs[column.name])
            for column in columns
        ]
        return frame.with_columns(made)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: S
    ) -> dict[str, Value]:
        """Add the nodes of each column."""
        return {
            column.name: self.node(graph, to_float(graph, inputs[column.name]), column.name, state)
            for column in columns
        }

    @abstractmethod
    def expression(self, x: pl.Expr, name: str, state: S) -> pl.Expr:
        """The arithmetic in Polars, on float64."""

    @abstractmethod
    def node(self, graph: GraphBuilder, x: Value, name: str, state: S) -> Value:
        """The arithmetic in ONNX, on float64."""


def number(wiring: Wiring, column: Column) -> pl.Expr:
    """An input column as float64."""
    return pl.col(wiring.inputs[column.name]).cast(pl.Float64)


def float_constant(graph: GraphBuilder, value: float) -> Value:
    """A float64 constant."""
    return graph.constant(value, "float64")
