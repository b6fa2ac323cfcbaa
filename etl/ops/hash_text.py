"""Several values in one string ("Action|Comedy"): split, and hashed or left as texts."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from pydantic import Field

from core.errors import UserError
from core.schema import Column, DType
from etl.onnx import GraphBuilder, Value, cast_to, is_null, where
from etl.ops.base import Operator, State, Wiring
from etl.ops.declare import categorical
from etl.values.hashing import bucket, bucket_node
from etl.values.lists import add_from_texts, filled
from etl.values.ragged import from_lengths


class Split(Operator[State]):
    """What both share. Empty values ("a||b") are left out; order and repetitions stay."""

    columnwise = True

    separator: str = Field(default="|", min_length=1)
    max_values: int | None = Field(default=None, ge=1, le=1000)

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare one list, or `max_values` columns."""
        for column in columns:
            if column.dtype != DType.STRING:
                told = f"{self.kind} takes strings, got {column.dtype.value}"
                raise UserError(told, where=f"column {column.name}", cure="leave it out")
        return tuple(made for column in columns for made in self._declared(column))

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Split, then make something of each value."""
        for column in columns:
            source = wiring.inputs[column.name]
            frame = add_from_texts(frame, source, self._made(pl.col(source), column), wiring)
        return frame

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """ONNX Runtime's Tokenizer splits; it leaves out what is empty, and fills rows up with empty texts."""
        made: dict[str, Value] = {}
        for column in columns:
            made |= self._nodes(graph, self._split(graph, inputs[column.name]), column)
        return made

    def _declared(self, column: Column) -> list[Column]:
        if self.max_values is None:
            return [self._value(replace(column, is_list=True, nullable=False))]
        return [self._value(column.renamed(name)) for name in self._names(column)]

    def _names(self, column: Column) -> list[str]:
        return [f"{column.name}_{number}" for number in range(self.max_values or 0)]

    def _made(self, x: pl.Expr, column: Column) -> dict[str, pl.Expr]:
        part = pl.element()
        lists = x.str.split(self.separator).list.eval(self._element(part.filter(part != "")))
        if self.max_values is None:
            return {column.name: filled(lists, self._declared(column)[0])}
        names = self._names(column)
        return {name: self._single(lists.list.get(number, null_on_oob=True)) for number, name in enumerate(names)}

    def _split(self, graph: GraphBuilder, x: Value) -> Value:
        """The values of each row, [rows, most values of a row]."""
        settings = {"separators": [re.escape(self.separator)], "mark": 0, "pad_value": "", "mincharnum": 1}
        # What the tokenizer makes of no rows has no second axis, so it gets one more row than there are.
        more = graph.op("Concat", x, graph.constant([""], "string"), dtype="string", axis=0)
        parts = graph.op("Tokenizer", more, dtype="string", domain="com.microsoft", **settings)
        begin, end = graph.constant([0], "int64"), graph.op("Shape", x, dtype="int64")
        return graph.op("Slice", parts, begin, end, begin, dtype="string")

    def _nodes(self, graph: GraphBuilder, texts: Value, column: Column) -> dict[str, Value]:
        """`texts` are [rows, most values of a row]."""
        ids, null = self._element_node(graph, texts)
        if self.max_values is None:
            there = graph.op("Not", null, dtype="bool")
            counts = graph.op(
                "ReduceSum", cast_to(graph, there, "int64"), graph.constant([1], "int64"), dtype="int64", keepdims=0
            )
            # Without an axis it takes its input as one long vector.
            return {
                column.name: from_lengths(
                    graph, graph.op("Compress", ids, _flat(graph, there), dtype=ids.dtype), counts
                )
            }
        return {name: self._column(graph, ids, number) for number, name in enumerate(self._names(column))}

    def _column(self, graph: GraphBuilder, ids: Value, number: int) -> Value:
        """One value of each row; nothing where the rows have fewer."""
        rows = graph.op("Shape", ids, dtype="int64", start=0, end=1)
        one = graph.constant([1], "int64")
        shape = graph.op("Concat", rows, one, dtype="int64", axis=0)
        nothing = graph.op("Expand", graph.constant([[self._nothing]], ids.dtype), shape, dtype=ids.dtype)
        # The value of this number, or the column that was put behind the last.
        width = graph.op("Shape", ids, dtype="int64", start=1, end=2)
        place = graph.op("Min", width, graph.constant([number], "int64"), dtype="int64")
        wider = graph.op("Concat", ids, nothing, dtype=ids.dtype, axis=1)
        return graph.op("Squeeze", graph.op("Gather", wider, place, dtype=ids.dtype, axis=1), one, dtype=ids.dtype)

    @property
    @abstractmethod
    def _nothing(self) -> int | str:
        """What stands where a row has no more values, in the graph."""

    @abstractmethod
    def _value(self, column: Column) -> Column:
        """Declare what is made of a value."""

    @abstractmethod
    def _element(self, part: pl.Expr) -> pl.Expr:
        """Make it."""

    @abstractmethod
    def _single(self, value: pl.Expr) -> pl.Expr:
        """The same outside of a list, where there may be none."""

    @abstractmethod
    def _element_node(self, graph: GraphBuilder, texts: Value) -> tuple[Value, Value]:
        """Make it in the graph; and where there is none."""


class SplitText(Split):
    """The values of a string as a list of strings, or as `max_values` columns `NAME_0` ...

    Args:
        separator: Stands between the values.
        max_values: Give so many columns (further values are left out), which are null where a row has fewer values;
            None: a list.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"genres": ["Comedy|Drama", "War", None]})
        >>> Workflow(["genres"] >> SplitText()).fit(frame).transform(frame).collect()["genres"].to_list()
        [['Comedy', 'Drama'], ['War'], []]
        >>> Workflow(["genres"] >> SplitText(max_values=2)).fit(frame).transform(frame).collect().rows()
        [('Comedy', 'Drama'), ('War', None), (None, None)]
    """

    kind = "split_text"

    @property
    def _nothing(self) -> str:
        return ""

    def _value(self, column: Column) -> Column:
        return column

    def _element(self, part: pl.Expr) -> pl.Expr:
        return part

    def _single(self, value: pl.Expr) -> pl.Expr:
        return value

    def _element_node(self, graph: GraphBuilder, texts: Value) -> tuple[Value, Value]:
        return texts, is_null(graph, texts)


class HashText(Split):
    """The values of a string as ids by a hash: 1 .. num_buckets, in a list or in `max_values` columns `NAME_0` ...

    Args:
        num_buckets: Number of ids beside 0, which is nothing.
        separator: Stands between the values.
        max_values: Give so many columns (further values are left out), which are 0 where a row has fewer values;
            None: a list.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"genres": ["Comedy|Drama", "War", None]})
        >>> Workflow(["genres"] >> HashText(100, max_values=2)).fit(frame).transform(frame).collect().rows()
        [(8, 96), (64, 0), (0, 0)]
    """

    kind = "hash_text"

    num_buckets: int = Field(ge=1, lt=2**31 - 1)

    def __init__(self, *values: Any, **settings: Any) -> None:
        """Take settings by name, or `num_buckets` first."""
        names = ("num_buckets", "separator", "max_values")
        super().__init__(**dict(zip(names, values, strict=False)), **settings)

    @property
    def _nothing(self) -> int:
        return 0

    def _value(self, column: Column) -> Column:
        return categorical(column, self.num_buckets + 1)

    def _element(self, part: pl.Expr) -> pl.Expr:
        return bucket(part, DType.STRING, self.num_buckets) + 1

    def _single(self, value: pl.Expr) -> pl.Expr:
        return value.fill_null(0)

    def _element_node(self, graph: GraphBuilder, texts: Value) -> tuple[Value, Value]:
        null, zero = is_null(graph, texts), graph.constant(0, "int64")
        hashed = bucket_node(graph, texts, self.num_buckets, null)
        ids = graph.op("Add", hashed, graph.constant(1, "int64"), dtype="int64")
        return where(graph, null, zero, ids), null


def _flat(graph: GraphBuilder, values: Value) -> Value:
    return graph.op("Reshape", values, graph.constant([-1], "int64"), dtype=values.dtype)
