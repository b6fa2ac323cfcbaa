"""Sums over lists in an exported network, in a form that ONNX Runtime does not get wrong.

torch writes `index_add` as `ScatterND` with `reduction=add`. ONNX Runtime (1.32 still) cuts its updates into parts, one
a thread, and lets threads add to one row at once: with several threads 7 of 1000 runs lose a part of a sum (50,000
vectors into 1000 rows). One thread is right, but whoever opens the file chooses the threads.

Legend of shapes: J updates, B rows, P updates of a row in one step, E width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto

from etl.onnx import Value
from serve.graph import OnnxGraph
from serve.ragged import LAST, added, filled, part, running

if TYPE_CHECKING:
    import onnx_ir

AT_ONCE = 16
"""Vectors of a row that one step adds: few steps for long lists, little room for many rows."""


@dataclass(frozen=True)
class Sum:
    """A `ScatterND` of an exported network.

    Attributes:
        dtype: Of what is added.
        vectors: Whether vectors are added, and not numbers.
    """

    dtype: str
    vectors: bool


def sums_of(graph: onnx_ir.Graph) -> dict[str, Sum]:
    """What is added in a graph, by name of the output."""
    found = {}
    for node in graph:
        if node.op_type == "ScatterND":
            updates = node.inputs[2]
            assert updates is not None, "a ScatterND has updates"
            assert updates.shape is not None, f"the exporter knows the shape of {updates.name}"
            assert updates.dtype is not None, f"the exporter knows the type of {updates.name}"
            found[str(node.outputs[0].name)] = Sum(str(updates.dtype.numpy()), len(updates.shape) == 2)
    return found


def write_sums(model: ModelProto, sums: Mapping[str, Sum], prefix: str) -> None:
    """Replace the sums of a network; updates of one row stand together, as those of a list do.

    Args:
        model: The network; it is changed.
        sums: What `sums_of` found.
        prefix: Starts every new name.
    """
    nodes: list[NodeProto] = []
    for number, node in enumerate(model.graph.node):
        assert not any(_adds(inner) for inner in _inside(node)), "the exporter has written a sum inside of a loop"
        if _adds(node):
            graph = _instead(node, sums[node.output[0]], f"{prefix}sum{number}_")
            nodes.extend(graph.node)
            model.graph.initializer.extend(graph.initializer)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _adds(node: NodeProto) -> bool:
    return node.op_type == "ScatterND" and any(each.name == "reduction" and each.s == b"add" for each in node.attribute)


def _inside(node: NodeProto) -> Iterator[NodeProto]:
    """The nodes of the graphs inside of a node."""
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield inner
            yield from _inside(inner)


def _instead(node: NodeProto, found: Sum, prefix: str) -> GraphProto:
    graph = OnnxGraph(prefix)
    data, updates = Value(node.input[0], found.dtype), Value(node.input[2], found.dtype)
    # `index_add` has one index an update.
    index = graph.op("Squeeze", Value(node.input[1], "int64"), graph.constant([1], "int64"), dtype="int64")
    made = _vectors_added(graph, data, index, updates) if found.vectors else added(graph, data, index, updates)
    return graph.to_model([], {node.output[0]: made}).graph


def _vectors_added(graph: OnnxGraph, data_BE: Value, index_J: Value, updates_JE: Value) -> Value:
    """A step for each AT_ONCE places: the first vectors of all rows, then the next ones, and so on.

    Adding number by number (`ragged.added`) would take ten times as long.
    """
    zero, size = graph.constant([0], "int64"), graph.op("Shape", index_J, dtype="int64")
    rows = part(graph, graph.op("Shape", data_BE, dtype="int64"), 0, 1)
    count_B = added(graph, filled(graph, rows, 0, "int64"), index_J, filled(graph, size, 1, "int64"))
    # A vector of zeros behind the others, for the rows that have ended.
    width = part(graph, graph.op("Shape", updates_JE, dtype="int64"), 1, LAST)
    shape = graph.op("Concat", graph.constant([1], "int64"), width, dtype="int64", axis=0)
    longer = graph.op("Concat", updates_JE, filled(graph, shape, 0, data_BE.dtype), dtype=data_BE.dtype, axis=0)
    body = _step(graph.prefix, longer, running(graph, count_B, exclusive=True), count_B, size)
    most = graph.op("ReduceMax", graph.op("Concat", count_B, zero, dtype="int64", axis=0), dtype="int64", keepdims=0)
    most = graph.op("Add", most, graph.constant(AT_ONCE - 1, "int64"), dtype="int64")
    steps, always = graph.op("Div", most, graph.constant(AT_ONCE, "int64"), dtype="int64"), graph.constant(True, "bool")
    return graph.op("Loop", steps, always, data_BE, dtype=data_BE.dtype, body=body)


def _step(prefix: str, longer: Value, begin_B: Value, count_B: Value, behind: Value) -> GraphProto:
    graph = OnnxGraph(f"{prefix}step_")
    number, going = graph.input(f"{graph.prefix}number", "int64"), graph.input(f"{graph.prefix}going", "bool")
    total_BE = graph.input(f"{graph.prefix}total", longer.dtype)
    first, upright = graph.constant(AT_ONCE, "int64"), graph.constant([1], "int64")
    place_P = graph.op("Mul", number, first, dtype="int64")
    place_P = graph.op("Add", place_P, graph.constant(np.arange(AT_ONCE), "int64"), dtype="int64")
    begin_B1, count_B1 = (graph.op("Unsqueeze", each, upright, dtype="int64") for each in (begin_B, count_B))
    there_BP = graph.op("Less", place_P, count_B1, dtype="bool")
    row_BP = graph.op("Where", there_BP, graph.op("Add", begin_B1, place_P, dtype="int64"), behind, dtype="int64")
    more_BPE = graph.op("Gather", longer, row_BP, dtype=longer.dtype)
    more_BE = graph.op("ReduceSum", more_BPE, upright, dtype=longer.dtype, keepdims=0)
    total = graph.op("Add", total_BE, more_BE, dtype=longer.dtype)
    return graph.loop_body([number, going, total_BE], going, total, 2)
