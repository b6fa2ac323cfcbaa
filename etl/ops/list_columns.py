"""The first elements of lists as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl
from pydantic import Field

from core.schema import Column, DType, Tag
from etl.onnx import INT_NULL, GraphBuilder, Ragged, Value
from etl.ops.base import Operator, State, Wiring
from etl.ops.declare import require_lists
from etl.types import FLOATS
from etl.values.lists import add_lists, elements
from etl.values.ragged import lengths, padded


class ListColumns(Operator[State]):
    """The first `count` elements of each list as the columns `NAME_0` ..., for models that read single values.

    Where a list is shorter, ids are 0 (padding) and other values null. For the last elements put `list_slice` before.

    Args:
        count: How many.

    Example:
        >>> from etl import Workflow
        >>> from etl.ops import Categorify
        >>> frame = pl.DataFrame({"seen": [["a", "b", "a"], ["b"], None]})
        >>> fitted = Workflow(["seen"] >> Categorify() >> ListColumns(2)).fit(frame)
        >>> fitted.transform(frame).collect().to_dict(as_series=False)
        {'seen_0': [3, 4, 0], 'seen_1': [4, 0, 0]}
    """

    kind = "list_columns"
    takes_lists = True

    count: int = Field(ge=1, le=1000)

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare `count` columns for each."""
        require_lists(columns, self.kind)
        return tuple(self._declared(column, name) for column in columns for name in self._names(column))

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Take the elements out."""
        made = {}
        for column in columns:
            lists = elements(pl.col(wiring.inputs[column.name]), column)
            for number, name in enumerate(self._names(column)):
                value = lists.list.get(number, null_on_oob=True)
                made[name] = value.fill_null(0) if Tag.CATEGORICAL in column.tags else value
        return add_lists(frame, made, wiring)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """The same, by filling up each list to `count` elements."""
        made: dict[str, Value] = {}
        for column in columns:
            lists = inputs[column.name]
            assert isinstance(lists, Ragged)
            pad = graph.constant([_nothing(column)], lists.dtype)
            most = graph.constant(self.count, "int64")
            count = graph.op("Min", lengths(graph, lists), most, dtype="int64")
            flat = padded(graph, lists, graph.constant(0, "int64"), count, width=self.count, pad=pad)
            shape = graph.constant([-1, self.count], "int64")
            grid = graph.op("Reshape", flat, shape, dtype=lists.dtype)
            for number, name in enumerate(self._names(column)):
                place = graph.constant(number, "int64")
                made[name] = graph.op("Gather", grid, place, dtype=lists.dtype, axis=1)
        return made

    def _names(self, column: Column) -> list[str]:
        return [f"{column.name}_{number}" for number in range(self.count)]

    def _declared(self, column: Column, name: str) -> Column:
        """Length and tags of a list are left behind."""
        properties = {key: value for key, value in column.properties.items() if key != "value_count"}
        tags = column.tags - {Tag.LIST, Tag.SEQUENCE}
        known = Tag.CATEGORICAL in column.tags
        return replace(column, name=name, is_list=False, nullable=not known, tags=tags, properties=properties)


def _nothing(column: Column) -> float | int | str:
    """What stands where a list has ended, in the serving graph."""
    if Tag.CATEGORICAL in column.tags:
        return 0
    if column.dtype in FLOATS:
        return float("nan")
    return "" if column.dtype == DType.STRING else INT_NULL
