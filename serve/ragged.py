"""Lists inside a serving graph: whose element each is, and lists in which nothing comes twice.

Sums are `ScatterElements` and not `ScatterND`: ONNX Runtime (1.32 still) lets threads add to one place of the latter at
once, and then loses some of what was to be added.

Legend of shapes: B lists, J elements of all of them together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from etl.onnx import GraphBuilder, Ragged, Value
from serve.graph import OnnxGraph

LAST = 2**31 - 1


def filled(graph: GraphBuilder, shape: Value, value: float, dtype: str) -> Value:
    """A tensor of this shape that holds one value everywhere."""
    return graph.op("ConstantOfShape", shape, dtype=dtype, value=np.array([value], dtype))


def part(graph: GraphBuilder, values: Value, start: int, end: int) -> Value:
    """`values[start:end]`."""
    begin, stop = graph.constant([start], "int64"), graph.constant([end], "int64")
    return graph.op("Slice", values, begin, stop, dtype=values.dtype)


def begins(graph: GraphBuilder, lists: Ragged) -> Value:
    """Where each list begins: [B]."""
    return part(graph, lists.offsets, 0, -1)


def ends(graph: GraphBuilder, lists: Ragged) -> Value:
    """Where each list ends: [B]."""
    return part(graph, lists.offsets, 1, LAST)


def running(graph: GraphBuilder, values: Value, *, exclusive: bool = False) -> Value:
    """Sums of all values up to each."""
    axis = graph.constant(0, "int64")
    return graph.op("CumSum", values, axis, dtype=values.dtype, exclusive=int(exclusive))


def added(graph: GraphBuilder, into: Value, place: Value, values: Value) -> Value:
    """Vectors only: `into` with each of the values added at its place, one after the other."""
    return graph.op("ScatterElements", into, place, values, dtype=into.dtype, reduction="add")


def owners(graph: GraphBuilder, stop_B: Value, size: Value) -> Value:
    """The list of each of `size` elements, a vector of length 1, where the lists stop at `stop_B`."""
    one = graph.constant([1], "int64")
    none = filled(graph, graph.op("Add", size, one, dtype="int64"), 0, "int64")
    ones = filled(graph, graph.op("Shape", stop_B, dtype="int64"), 1, "int64")
    # How many lists have ended before each element.
    return part(graph, running(graph, added(graph, none, stop_B, ones)), 0, -1)


def each_list(graph: OnnxGraph, lists: Ragged, make: Callable[[OnnxGraph, Value], Value]) -> Value:
    """One row for each list, a list after the other: so no result depends on others, and nothing is padded.

    Args:
        graph: Takes the nodes.
        lists: At least one.
        make: Adds what is done with one list, a vector, to the graph that it is given: a vector.
    """
    inner = OnnxGraph(f"{graph.prefix}list_")
    row, going = inner.input(f"{inner.prefix}row", "int64"), inner.input(f"{inner.prefix}going", "bool")
    at = inner.op("Unsqueeze", row, inner.constant([0], "int64"), dtype="int64")
    edges = [inner.op("Gather", each, at, dtype="int64") for each in (begins(graph, lists), ends(graph, lists))]
    made = make(inner, inner.op("Slice", lists, *edges, dtype=lists.dtype))
    body = inner.loop_body([row, going], going, made, 1)
    count, always = graph.op("Size", begins(graph, lists), dtype="int64"), graph.constant(True, "bool")
    return graph.op("Loop", count, always, dtype=made.dtype, body=body)


def distinct(graph: GraphBuilder, lists: Ragged, items: int) -> Ragged:
    """Rows of items: each list sorted, without what comes again, as `train.models.retrieve.item_item.distinct`."""
    size = graph.op("Shape", lists, dtype="int64")
    owner_J = owners(graph, ends(graph, lists), size)
    many, zero = graph.constant([items], "int64"), graph.constant([0], "int64")
    key_J = graph.op("Add", graph.op("Mul", owner_J, many, dtype="int64"), lists, dtype="int64")
    key_J = graph.op("Unique", key_J, dtype="int64", sorted=1)
    owner_J = graph.op("Div", key_J, many, dtype="int64")
    rows = graph.op("Shape", begins(graph, lists), dtype="int64")
    ones = filled(graph, graph.op("Shape", owner_J, dtype="int64"), 1, "int64")
    count_B = added(graph, filled(graph, rows, 0, "int64"), owner_J, ones)
    offsets_B1 = graph.op("Concat", zero, running(graph, count_B), dtype="int64", axis=0)
    values_J = graph.op("Sub", key_J, graph.op("Mul", owner_J, many, dtype="int64"), dtype="int64")
    return Ragged(values_J.name, "int64", offsets_B1)
