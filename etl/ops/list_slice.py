"""A part of each list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import polars as pl
from pydantic import model_validator

from core.errors import UserError
from core.schema import Column, DType, Tag
from core.spec import custom_error
from etl.onnx import GraphBuilder, Ragged, Value
from etl.ops.base import Operator, State, Wiring
from etl.ops.declare import require_lists
from etl.ops.nvt import nvtabular_ops
from etl.types import FLOATS, polars_type
from etl.values.lists import add_lists, elements
from etl.values.ragged import lengths, padded, sliced


class ListSlice(Operator[State]):
    """The elements of each list from `start` up to, not including, `end`; both count from the end when negative.

    `ListSlice(10)` gives the first ten, `ListSlice(1, 11)` ten without the first, `ListSlice(-10)` the last ten. A null
    list counts as an empty one.

    Args:
        start: First element; alone and above 0, the number of elements from the beginning.
        end: Where to stop; None: at the end of the list.
        pad: Fill each list up to the number of elements that there can be.
        pad_value: What to fill with.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"seen": [[1, 2, 3], [4], None]})
        >>> fitted = Workflow(["seen"] >> ListSlice(-2, pad=True)).fit(frame)
        >>> fitted.transform(frame).collect()["seen"].to_list()
        [[2, 3], [4, 0], [0, 0]]
        >>> fitted.schema["seen"].properties["value_count"]
        {'min': 2, 'max': 2}
    """

    kind = "list_slice"
    takes_lists = True

    start: int
    end: int | None = None
    pad: bool = False
    pad_value: int | float | str = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pad and self.most is None:
            told = f"pad needs a largest number of elements, and from {self.start} to {self.end} there is none"
            raise custom_error("list_slice", told)
        return self

    @property
    def bounds(self) -> tuple[int, int | None]:
        """Where to begin and to stop."""
        return (0, self.start) if self.start > 0 and self.end is None else (self.start, self.end)

    @property
    def most(self) -> int | None:
        """Largest number of elements of a list; None where only the list itself bounds it."""
        start, end = self.bounds
        if start < 0:
            return max(0, (end or 0) - start) if end is None or end < 0 else -start
        return None if end is None or end < 0 else max(0, end - start)

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare lists of the same values, with their smallest and largest number."""
        require_lists(columns, self.kind)
        for column in columns:
            self._require_pad(column)
        return tuple(self._declared(column) for column in columns)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Cut the lists."""
        made = {
            column.name: self._cut(elements(pl.col(wiring.inputs[column.name]), column), column) for column in columns
        }
        return add_lists(frame, made, wiring)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """The same arithmetic on offsets."""
        return {column.name: self._node(graph, inputs[column.name]) for column in columns}

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.ListSlice`."""
        return nvtabular_ops().ListSlice(self.start, end=self.end, pad=self.pad, pad_value=self.pad_value)

    def _cut(self, x: pl.Expr, column: Column) -> pl.Expr:
        size = x.list.len().cast(pl.Int64)
        start, end = self.bounds
        begin = _bound(start, size)
        stop = size if end is None else _bound(end, size)
        cut = x.list.slice(begin, pl.max_horizontal(stop - begin, pl.lit(0, pl.Int64)))
        # A slice of no rows at all forgets the type; putting it before a list of nothing brings it back.
        filler = [self._pad_of(column)] * (self.most or 0) if self.pad else []
        filled = pl.concat_list([cut, pl.lit(pl.Series([filler], dtype=polars_type(column)))])
        return filled.list.slice(0, self.most) if filler else filled

    def _node(self, graph: GraphBuilder, lists: Value) -> Value:
        assert isinstance(lists, Ragged)
        start, end = self.bounds
        size, zero = lengths(graph, lists), graph.constant(0, "int64")
        begin = _bound_node(graph, start, size)
        stop = size if end is None else _bound_node(graph, end, size)
        count = graph.op("Max", graph.op("Sub", stop, begin, dtype="int64"), zero, dtype="int64")
        if not self.pad or not self.most:
            return sliced(graph, lists, begin, count)
        value = self.pad_value if lists.dtype == "string" else float(self.pad_value)
        pad = graph.constant([value], lists.dtype)
        return padded(graph, lists, begin, count, width=self.most, pad=pad)

    def _pad_of(self, column: Column) -> int | float | str:
        if column.dtype == DType.STRING:
            return str(self.pad_value)
        return float(self.pad_value) if column.dtype in FLOATS else int(self.pad_value)

    def _require_pad(self, column: Column) -> None:
        if not self.pad:
            return
        text = isinstance(self.pad_value, str)
        whole = not text and float(self.pad_value).is_integer()
        if text != (column.dtype == DType.STRING) or not (text or whole or column.dtype in FLOATS):
            told = f"lists of {column.dtype.value} can't be filled up with {self.pad_value!r}"
            raise UserError(told, where=f"column {column.name}", cure="set pad_value to a value of that type")
        size = column.cardinality
        if Tag.CATEGORICAL in column.tags and size is not None and not 0 <= int(self.pad_value) < size:
            told = f"{self.pad_value} is no id of the column, which has 0 .. {size - 1}"
            raise UserError(told, where=f"column {column.name}", cure="set pad_value: 0")

    def _declared(self, column: Column) -> Column:
        count = {"min": self.most if self.pad else 0, "max": self.most}
        known = {key: value for key, value in count.items() if value is not None}
        made = replace(column, nullable=False, properties={**column.properties, "value_count": known})
        return made.with_tags(Tag.LIST)


def _bound(place: int, size: pl.Expr) -> pl.Expr:
    """A place in the list, between its ends."""
    inside = size + place if place < 0 else pl.lit(place, pl.Int64)
    return pl.min_horizontal(pl.max_horizontal(inside, pl.lit(0, pl.Int64)), size)


def _bound_node(graph: GraphBuilder, place: int, size: Value) -> Value:
    at = graph.constant(place, "int64")
    inside = graph.op("Add", size, at, dtype="int64") if place < 0 else at
    return graph.op("Min", graph.op("Max", inside, graph.constant(0, "int64"), dtype="int64"), size, dtype="int64")
