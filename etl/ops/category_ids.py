"""From values to the ids of one vocabulary: in a frame, in lists, and in the serving graph.

An id is first that of the vocabulary's own layout (null 1, out of vocabulary from 2, then the values); where several
vocabularies share one space of ids, it is shifted into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.schema import Column
from etl.onnx import INT_NULL, GraphBuilder, Value, is_null, where
from etl.ops.base import Wiring
from etl.ops.category_tables import VALUE, Table
from etl.ops.key_rows import RowNumbers
from etl.ops.keys import key_dtype, key_expression, key_node
from etl.ops.vocabularies import Shifts
from etl.types import clean
from etl.values import lookup
from etl.values.hashing import add_bucket, add_cross, bucket, bucket_node, cross_node

NULL, OOV = 1, 2
_MISSED = -1


@dataclass(frozen=True)
class Ids:
    """How values become ids.

    Attributes:
        table: Whose values they are.
        known: The vocabulary, in the order of ids.
        buckets: Number of ids for what is out of vocabulary.
        shifts: How own ids are shifted; none: not at all.
        dtype: Type of the ids.
    """

    table: Table
    known: pl.DataFrame
    buckets: int
    shifts: Shifts
    dtype: pl.DataType

    @property
    def first(self) -> int:
        """Own id of the first value."""
        return OOV + self.buckets

    @property
    def _unknown(self) -> int:
        """What a lookup gives for a value that it doesn't hold."""
        return OOV if self.buckets == 1 else _MISSED

    def ids(self, x: pl.Expr, column: Column) -> pl.Expr:
        """The ids of a column of single values, or of elements of lists, where the plan can hold Python."""
        key = key_expression(x, column)
        own = lookup.found(key, self.known[VALUE], first=self.first, unknown=self._unknown, null=NULL)
        if self.buckets > 1:
            hashed = bucket(key, key_dtype(column), self.buckets) + OOV
            own = pl.when(own == _MISSED).then(hashed).otherwise(own)
        return self._placed(own)

    def in_lists(self, x: pl.Expr, column: Column) -> pl.Expr:
        """The ids of the elements of lists; a null list becomes an empty one."""
        return x.list.eval(self.ids(clean(pl.element(), column.dtype), column)).fill_null(
            pl.lit([], pl.List(self.dtype))
        )

    def add_found(self, frame: pl.LazyFrame, column: Column, output: str, wiring: Wiring) -> pl.LazyFrame:
        """Look a column of single values up, whose key stands in `key_of(output)`; no Python in the plan."""
        key, found = key_of(output), _found(output)
        limits = {"first": self.first, "unknown": self._unknown}
        frame = lookup.add_ids(frame, key, self.known[VALUE], found, **limits, ordered=wiring.ordered)
        if self.buckets == 1:
            return frame
        dtype = key_dtype(column)
        return add_bucket(frame, key, dtype, _bucket(output), buckets=self.buckets, collect=wiring.collect)

    def add_combination(self, frame: pl.LazyFrame, output: str, wiring: Wiring) -> pl.LazyFrame:
        """Look combinations up, each by the row that it has in the table of those that have ids."""
        parts = [f"{output}!{number}" for number in range(len(self.table.columns))]
        made = [
            key_expression(pl.col(wiring.inputs[column.name]), column).alias(part)
            for column, part in zip(self.table.columns, parts, strict=True)
        ]
        some = pl.any_horizontal(pl.col(part).is_not_null() for part in parts)
        # The lookup of a single column tells null by its key; so does this one.
        frame = frame.with_columns(made).with_columns(pl.when(some).then(1).alias(key_of(output)))
        frame = (
            self._found_row(frame, parts, output)
            if wiring.collect is None
            else self._joined(frame, parts, output, wiring)
        )
        if self.buckets == 1:
            return frame
        dtypes, output = self.table.dtypes, _bucket(output)
        return add_cross(frame, parts, dtypes, output, buckets=self.buckets, collect=wiring.collect)

    def _found_row(self, frame: pl.LazyFrame, parts: Sequence[str], output: str) -> pl.LazyFrame:
        find = RowNumbers(self.known.select(self.table.keys))
        row = pl.struct(parts).map_batches(find, return_dtype=pl.Int32, is_elementwise=True)
        return frame.with_columns(row.alias(_found(output))).with_columns(
            pl.when(pl.col(_found(output)) < self.known.height)
            .then(pl.col(_found(output)) + self.first)
            .otherwise(pl.lit(self._unknown, pl.Int32))
            .alias(_found(output))
        )

    def _joined(self, frame: pl.LazyFrame, parts: Sequence[str], output: str, wiring: Wiring) -> pl.LazyFrame:
        ids = pl.int_range(self.first, self.first + self.known.height, dtype=pl.Int32, eager=True)
        right = [f"{part}!" for part in parts]
        table = self.known.select(pl.col(self.table.keys)).rename(dict(zip(self.table.keys, right, strict=True)))
        joined = frame.join(
            table.with_columns(ids.alias(_found(output))).lazy(),
            left_on=parts,
            right_on=right,
            how="left",
            nulls_equal=True,
            maintain_order="left" if wiring.ordered else "none",
        )
        return joined.with_columns(pl.col(_found(output)).fill_null(self._unknown))

    def id(self, output: str) -> pl.Expr:
        """The id, once everything is looked up."""
        found = pl.col(_found(output))
        if self.buckets > 1:
            found = pl.when(found == _MISSED).then(pl.col(_bucket(output)) + OOV).otherwise(found)
        null = pl.col(key_of(output)).is_null()
        return self._placed(pl.when(null).then(pl.lit(NULL, pl.Int32)).otherwise(found)).alias(output)

    def _placed(self, own: pl.Expr) -> pl.Expr:
        """Own ids, shifted where vocabularies share a space of ids, in their type."""
        if not self.shifts:
            return own if self.dtype == pl.Int32 else own.cast(self.dtype)
        add = pl.lit(0, pl.Int32)
        for start, by in self.shifts:
            add = pl.when(own >= start).then(pl.lit(by, pl.Int32)).otherwise(add)
        return (own + add).cast(self.dtype)

    def node(self, graph: GraphBuilder, x: Value) -> Value:
        """The ids of a column in the serving graph."""
        key = key_node(graph, x)
        ids = label_encoder(graph, key, self.known[VALUE], first=self.first, unknown=self._unknown)
        if self.buckets > 1:
            ids = self._bucketed(graph, ids, bucket_node(graph, key, self.buckets, is_null(graph, key)))
        return self._shifted(graph, ids)

    def combination_node(self, graph: GraphBuilder, inputs: Sequence[Value]) -> Value:
        """The ids of combinations in the serving graph."""
        keys = [key_node(graph, x) for x in inputs]
        ids = _combined(graph, keys, [self.known[key] for key in self.table.keys], self.first, self._unknown)
        if self.buckets > 1:
            ids = self._bucketed(graph, ids, cross_node(graph, keys, self.buckets))
        return self._shifted(graph, ids)

    def _bucketed(self, graph: GraphBuilder, ids: Value, hashed: Value) -> Value:
        code = graph.op("Add", hashed, graph.constant(OOV, "int64"), dtype="int64")
        missed = graph.op("Equal", ids, graph.constant(_MISSED, "int64"), dtype="bool")
        return where(graph, missed, code, ids)

    def _shifted(self, graph: GraphBuilder, ids: Value) -> Value:
        if not self.shifts:
            return ids
        add = graph.constant(0, "int64")
        for start, by in self.shifts:
            behind = graph.op("GreaterOrEqual", ids, graph.constant(start, "int64"), dtype="bool")
            add = where(graph, behind, graph.constant(by, "int64"), add)
        return graph.op("Add", ids, add, dtype="int64")


def key_of(output: str) -> str:
    """Where the key of a column of single values stands while it is looked up."""
    return f"{output}!key"


def _found(output: str) -> str:
    return f"{output}!found"


def _bucket(output: str) -> str:
    return f"{output}!bucket"


def label_encoder(
    graph: GraphBuilder, key: Value, values: pl.Series, *, first: int, unknown: int, null: int = NULL
) -> Value:
    """Look keys up in the serving graph: int64 ids, `first` and on."""
    return _encoder(graph, key, values, np.arange(first, first + len(values)), unknown=unknown, null=null)


def _encoder(
    graph: GraphBuilder, key: Value, values: pl.Series, ids: NDArray[np.int64], *, unknown: int, null: int
) -> Value:
    absent = "" if key.dtype == "string" else INT_NULL
    # What stands for null can be a value elsewhere, so in a vocabulary that was taken over.
    real = (values != absent).to_numpy()
    targets = np.concatenate([[null], ids[real]]).astype(np.int64)
    if key.dtype == "string":
        texts = [absent, *values.filter(pl.Series(real)).to_list()]
        settings = {"keys_strings": texts, "values_int64s": targets.tolist(), "default_int64": unknown}
    else:
        keys = np.concatenate([[absent], values.to_numpy()[real]]).astype(np.int64)
        default = np.array([unknown], np.int64)
        settings = {"keys_tensor": keys, "values_tensor": targets, "default_tensor": default}
    return graph.op("LabelEncoder", key, dtype="int64", domain="ai.onnx.ml", **settings)


def _combined(
    graph: GraphBuilder, keys: Sequence[Value], parts: Sequence[pl.Series], first: int, unknown: int
) -> Value:
    """Look combinations up: each part and each pair so far gets a small number, which the next pair is made of.

    0 is null, -1 a part that no combination of the vocabulary holds.
    """
    code, mine, height = graph.constant(0, "int64"), np.zeros(len(parts[0]), np.int64), len(parts[0])
    for key, values in zip(keys, parts, strict=True):
        distinct = values.drop_nulls().unique().sort()
        part = label_encoder(graph, key, distinct, first=1, unknown=_MISSED, null=0)
        numbers = _positions(values, distinct) + 1
        width = graph.constant(len(distinct) + 1, "int64")
        pair = graph.op("Add", graph.op("Mul", code, width, dtype="int64"), part, dtype="int64")
        zero = graph.constant(0, "int64")
        held = [graph.op("GreaterOrEqual", one, zero, dtype="bool") for one in (code, part)]
        both = graph.op("And", *held, dtype="bool")
        pairs = mine * (len(distinct) + 1) + numbers
        # 0, where every part so far is null, stays 0.
        known = np.unique(np.concatenate([[0], pairs]))
        dense = _encoder(
            graph,
            where(graph, both, pair, graph.constant(_MISSED, "int64")),
            pl.Series(known),
            np.arange(len(known)),
            unknown=_MISSED,
            null=_MISSED,
        )
        code, mine = dense, np.searchsorted(known, pairs)
    final = np.full(len(known), unknown, np.int64)
    final[mine] = np.arange(first, first + height)
    final[0] = NULL
    return _encoder(graph, code, pl.Series(np.arange(len(known))), final, unknown=unknown, null=unknown)


def _positions(values: pl.Series, distinct: pl.Series) -> NDArray[np.int64]:
    """Where each value stands among the distinct ones; -1 for null."""
    places = pl.DataFrame({"value": distinct}).with_row_index("place")
    joined = values.to_frame("value").join(places, on="value", how="left", maintain_order="left")
    return joined["place"].cast(pl.Int64).fill_null(-1).to_numpy()
