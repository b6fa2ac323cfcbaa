"""log(1 + x)."""

from __future__ import annotations

from typing import Any, ClassVar

import polars as pl

from etl.onnx import GraphBuilder, Value, where
from etl.ops.base import State
from etl.ops.elementwise import Elementwise, float_constant
from etl.ops.nvt import nvtabular_ops


class LogOp(Elementwise[State]):
    """log(1 + x), the natural logarithm; null where x <= -1, where it is not defined.

    Written as log(1 + x) and not as log1p, so that Polars and ONNX, which has no log1p, compute the same.

    Example:
        >>> from etl import Workflow
        >>> Workflow(["x"] >> LogOp()).fit(pl.DataFrame({"x": [0.0, -1.0]})).transform(
        ...     pl.DataFrame({"x": [0.0, -1.0]})).collect()["x"].to_list()
        [0.0, None]
    """

    kind = "log"
    keeps_null: ClassVar[bool | None] = True

    def expression(self, x: pl.Expr, name: str, state: State) -> pl.Expr:
        """See `Elementwise.expression`."""
        return pl.when(x > -1.0).then((x + 1.0).log())

    def node(self, graph: GraphBuilder, x: Value, name: str, state: State) -> Value:
        """See `Elementwise.node`."""
        defined = graph.op("Greater", x, float_constant(graph, -1.0), dtype="bool")
        log = graph.op("Log", graph.op("Add", x, float_constant(graph, 1.0), dtype="float64"), dtype="float64")
        return where(graph, defined, log, float_constant(graph, float("nan")))

    def nvtabular(self, columns: Any) -> Any:
        """`nvtabular.ops.LogOp`."""
        return nvtabular_ops().LogOp()
