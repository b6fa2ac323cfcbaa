"""Leave out columns of ids that tell few values apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from pydantic import Field

from core.schema import Column, Tag
from etl.lists import pass_on
from etl.onnx import GraphBuilder, Value
from etl.ops.base import Operator, State, Wiring
from etl.ops.nvt import nvtabular_ops


class DropLowCardinality(Operator[State]):
    """Drop categorical columns whose largest id is below `min_cardinality`; other columns stay.

    The cardinality is what `categorify` learned, its reserved ids (0 padding, 1 null, 2 out of vocabulary)
    included, and the rule is NVTabular's: with the default of 4 a column needs two values besides those. Which
    columns go is known after the fit, so nothing can follow that reads a column which may go.

    Example:
        >>> from etl import Workflow
        >>> from etl.ops import Categorify
        >>> frame = pl.DataFrame({"one": ["a", "a", "a"], "two": ["a", "b", "a"]})
        >>> node = ["one", "two"] >> Categorify() >> DropLowCardinality()
        >>> Workflow(node).fit(frame).schema.names
        ('two',)
    """

    kind = "drop_low_cardinality"
    drops_columns = True
    takes_lists = True

    min_cardinality: int = Field(default=4, ge=0)

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare the columns that stay; before the fit, those whose cardinality isn't known."""
        return tuple(column for column in columns if self._stays(column))

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Add the same values."""
        return pass_on(frame, columns, {column.name: column.name for column in self.outputs(columns)}, wiring)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """The same values."""
        return {column.name: inputs[column.name] for column in self.outputs(columns)}

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.DropLowCardinality`."""
        return nvtabular_ops().DropLowCardinality(min_cardinality=self.min_cardinality)

    def _stays(self, column: Column) -> bool:
        known = Tag.CATEGORICAL in column.tags and column.cardinality is not None
        return not known or (column.cardinality or 0) > self.min_cardinality
