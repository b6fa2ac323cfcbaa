"""Lists in the serving graph: elements of all rows one after the other, and where rows begin (`etl.onnx.Ragged`)."""

from __future__ import annotations

import numpy as np

from etl.onnx import GraphBuilder, Ragged, Value, where

_END = 2**31 - 1


def lengths(graph: GraphBuilder, lists: Ragged) -> Value:
    """Number of elements of each row."""
    return graph.op("Sub", _ends(graph, lists), _starts(graph, lists), dtype="int64")


def from_lengths(graph: GraphBuilder, values: Value, counts: Value) -> Ragged:
    """Elements, and how many of them each row has."""
    sums = graph.op("CumSum", counts, graph.constant(0, "int64"), dtype="int64")
    offsets = graph.op("Concat", graph.constant([0], "int64"), sums, dtype="int64", axis=0)
    return Ragged(values.name, values.dtype, offsets)


def sliced(graph: GraphBuilder, lists: Ragged, begin: Value, count: Value) -> Ragged:
    """Some elements of each row: `count` from the one at `begin` on; both fit the row."""
    ends = _ends(graph, lists)
    size = graph.op("Shape", lists, dtype="int64")
    one = graph.constant([1], "int64")
    zeros = graph.op("ConstantOfShape", graph.op("Add", size, one, dtype="int64"), dtype="int64", value=_filled(0))
    ones = graph.op("ConstantOfShape", graph.op("Shape", ends, dtype="int64"), dtype="int64", value=_filled(1))
    # How many rows end at each place; so many rows are over there.
    over = graph.op("ScatterElements", zeros, ends, ones, dtype="int64", reduction="add")
    axis = graph.constant(0, "int64")
    rows = _cut(graph, graph.op("CumSum", over, axis, dtype="int64"), 0, -1)
    # From here on by element.
    each = graph.op("ConstantOfShape", size, dtype="int64", value=_filled(1))
    place = graph.op("CumSum", each, axis, dtype="int64", exclusive=1)
    low = graph.op("Add", _starts(graph, lists), begin, dtype="int64")
    high = graph.op("Add", low, count, dtype="int64")
    behind = graph.op("GreaterOrEqual", place, graph.op("Gather", low, rows, dtype="int64"), dtype="bool")
    before = graph.op("Less", place, graph.op("Gather", high, rows, dtype="int64"), dtype="bool")
    kept = graph.op("And", behind, before, dtype="bool")
    return from_lengths(graph, graph.op("Compress", lists, kept, dtype=lists.dtype, axis=0), count)


def padded(graph: GraphBuilder, lists: Ragged, begin: Value, count: Value, *, width: int, pad: Value) -> Ragged:
    """The same, filled up to `width` elements a row with `pad`, a vector of length 1."""
    size = graph.op("Shape", lists, dtype="int64")
    columns = graph.constant(np.arange(width), "int64")
    low = graph.op("Add", _starts(graph, lists), begin, dtype="int64")
    places = graph.op("Add", _upright(graph, low), columns, dtype="int64")
    there = graph.op("Less", columns, _upright(graph, count), dtype="bool")
    with_pad = graph.op("Concat", lists, pad, dtype=lists.dtype, axis=0)
    grid = graph.op("Gather", with_pad, where(graph, there, places, size), dtype=lists.dtype)
    flat = graph.op("Reshape", grid, graph.constant([-1], "int64"), dtype=lists.dtype)
    rows = graph.op("Shape", count, dtype="int64")
    return from_lengths(graph, flat, graph.op("ConstantOfShape", rows, dtype="int64", value=_filled(width)))


def _starts(graph: GraphBuilder, lists: Ragged) -> Value:
    return _cut(graph, lists.offsets, 0, -1)


def _ends(graph: GraphBuilder, lists: Ragged) -> Value:
    return _cut(graph, lists.offsets, 1, _END)


def _cut(graph: GraphBuilder, values: Value, start: int, end: int) -> Value:
    return graph.op(
        "Slice", values, graph.constant([start], "int64"), graph.constant([end], "int64"), dtype=values.dtype
    )


def _upright(graph: GraphBuilder, values: Value) -> Value:
    return graph.op("Unsqueeze", values, graph.constant([1], "int64"), dtype=values.dtype)


def _filled(value: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([value], np.int64)
