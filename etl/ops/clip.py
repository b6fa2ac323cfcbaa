"""Limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import polars as pl
from pydantic import Field, model_validator

from core.schema import Column
from core.spec import custom_error
from etl.onnx import GraphBuilder, Value
from etl.ops.base import State
from etl.ops.elementwise import Elementwise, float_constant
from etl.ops.nvt import nvtabular_ops


class Clip(Elementwise[State]):
    """Values below `min_value` become it, values above `max_value` become it; null stays null.

    Example:
        >>> Clip(min=1, max=100)
        Clip(min_value=1.0, max_value=100.0)
    """

    kind = "clip"

    min_value: float | None = Field(default=None, alias="min")
    max_value: float | None = Field(default=None, alias="max")

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.min_value, self.max_value
        if low is None and high is None:
            raise custom_error("clip_nothing", "give min, max or both")
        if low is not None and high is not None and low > high:
            raise custom_error("clip_empty", f"min must not be above max, got min {low} and max {high}")
        return self

    def expression(self, x: pl.Expr, name: str, state: State) -> pl.Expr:
        """See `Elementwise.expression`."""
        return x.clip(self.min_value, self.max_value)

    def node(self, graph: GraphBuilder, x: Value, name: str, state: State) -> Value:
        """See `Elementwise.node`; both nodes of ONNX pass NaN on."""
        if self.min_value is not None:
            x = graph.op("Max", x, float_constant(graph, self.min_value), dtype="float64")
        if self.max_value is not None:
            x = graph.op("Min", x, float_constant(graph, self.max_value), dtype="float64")
        return x

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.Clip`."""
        return nvtabular_ops().Clip(min_value=self.min_value, max_value=self.max_value)
