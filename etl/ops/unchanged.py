"""Operators that leave values as they are, and say something of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from core.schema import Column
from etl.onnx import GraphBuilder, Value
from etl.ops.base import Operator, S, Wiring
from etl.values.lists import pass_on


class Unchanged(Operator[S]):
    """Each output is the input of the same name; what `outputs` does not declare goes."""

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: S) -> pl.LazyFrame:
        """Add the same values."""
        return pass_on(frame, columns, {one.name: one.name for one in self.outputs(columns, state)}, wiring)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: S
    ) -> dict[str, Value]:
        """The same values."""
        return {one.name: inputs[one.name] for one in self.outputs(columns, state)}
