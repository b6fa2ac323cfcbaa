"""Real numbers to the number of their interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

import polars as pl
from pydantic import AfterValidator, Field

from core.errors import UserError
from core.schema import Column
from core.spec import custom_error
from etl.onnx import GraphBuilder, Value, cast_to, is_null, to_float, where
from etl.ops.base import Operator, State, Wiring
from etl.ops.declare import categorical, require_numbers
from etl.ops.elementwise import number
from etl.ops.nvt import nvtabular_ops


def _increasing(edges: tuple[float, ...]) -> tuple[float, ...]:
    for low, high in pairwise(edges):
        if low >= high:
            raise custom_error("edges", f"boundaries must increase, got {low:g} before {high:g}")
    return edges


Edges = Annotated[tuple[float, ...], Field(min_length=1), AfterValidator(_increasing)]


class Bucketize(Operator[State]):
    """Number of boundaries that the value reaches: 0 below the first, len(boundaries) from the last on.

    A value on a boundary belongs above it (as numpy's `digitize`). Null goes to the last bucket, as in NVTabular;
    put `fill_missing` before to choose another.

    Args:
        boundaries: Increasing numbers for every column, or a mapping from column to its own.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"age": [17, 18, 64, 65, None]})
        >>> Workflow(["age"] >> Bucketize([18, 65])).fit(frame).transform(frame).collect()["age"].to_list()
        [0, 1, 1, 2, 2]
    """

    kind = "bucketize"

    boundaries: Edges | dict[str, Edges]

    def edges(self, name: str) -> tuple[float, ...]:
        """The boundaries of a column.

        Raises:
            UserError: The mapping has none for it.
        """
        if not isinstance(self.boundaries, dict):
            return self.boundaries
        if name not in self.boundaries:
            raise UserError("bucketize has no boundaries for this column", where=f"column {name}")
        return self.boundaries[name]

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare id columns with one id more than there are boundaries."""
        require_numbers(columns, self.kind)
        return tuple(categorical(column, len(self.edges(column.name)) + 1) for column in columns)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Sum of comparisons, which a GPU engine runs (it has no `cut`)."""
        made = []
        for column in columns:
            x, edges = number(wiring, column), self.edges(column.name)
            reached = pl.sum_horizontal([(x >= edge).cast(pl.Int32) for edge in edges])
            null = pl.lit(len(edges), pl.Int32)
            bucket = pl.when(x.is_null()).then(null).otherwise(reached)
            made.append(bucket.cast(pl.Int32).alias(wiring.outputs[column.name]))
        return frame.with_columns(made)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """GreaterOrEqual against all boundaries at once, then a sum."""
        made = {}
        for column in columns:
            edges = self.edges(column.name)
            x = to_float(graph, inputs[column.name])
            last = graph.constant([1], "int64")
            x_B1 = graph.op("Unsqueeze", x, last, dtype="float64")
            reached_BE = graph.op("GreaterOrEqual", x_B1, graph.constant(list(edges), "float64"), dtype="bool")
            count_BE = cast_to(graph, reached_BE, "int64")
            count_B = graph.op("ReduceSum", count_BE, last, dtype="int64", keepdims=0)
            null = graph.constant(len(edges), "int64")
            made[column.name] = where(graph, is_null(graph, x), null, count_B)
        return made

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.Bucketize`."""
        return nvtabular_ops().Bucketize({column.name: list(self.edges(column.name)) for column in columns})
