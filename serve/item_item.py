"""Scores from a matrix of items by items as ONNX graphs; the same additions in the same order as in training.

So the numbers are those of `train.models.retrieve.item_item`, to the bit, and equal ones stay equal.

Legend of shapes: B lists, J different items of one, K numbers other than zero, I items.
"""

from __future__ import annotations

from onnx import GraphProto
from torch import Tensor, nn

from etl.onnx import Ragged, Value
from serve.graph import OnnxGraph
from serve.network import PREFIX, DataFile, stored
from serve.ragged import added, each_list, filled
from train.models.retrieve.item_item import DenseItems, SparseItems


def dense_items(graph: OnnxGraph, lists: Ragged, module: nn.Module, data: DataFile) -> Value:
    """score_BI: the sum of the rows of a whole matrix."""
    assert isinstance(module, DenseItems)
    weight_II = stored(graph, module.weight_II, data)

    def scores(inner: OnnxGraph, met_J: Value) -> Value:
        rows = inner.op("Gather", weight_II, met_J, dtype="float32")
        return inner.op("ReduceSum", rows, inner.constant([0], "int64"), dtype="float32", keepdims=0)

    return each_list(graph, lists, scores)


def sparse_items(graph: OnnxGraph, lists: Ragged, module: nn.Module, data: DataFile) -> Value:
    """score_BI: the sum of the rows of a matrix of which the entries other than zero are stored."""
    assert isinstance(module, SparseItems)
    start_I1, item_K, weight_K = (stored(graph, each, data) for each in _entries(module))

    def scores(inner: OnnxGraph, met_J: Value) -> Value:
        none_I = filled(inner, inner.constant([module.items], "int64"), 0, "float32")
        always, count = inner.constant(True, "bool"), inner.op("Size", met_J, dtype="int64")
        step = _row_added(met_J, start_I1, item_K, weight_K)
        return inner.op("Loop", count, always, none_I, dtype="float32", body=step)

    return each_list(graph, lists, scores)


def _row_added(met_J: Value, start_I1: Value, item_K: Value, weight_K: Value) -> GraphProto:
    """One step: the row of one item added to the scores.

    A step for each item is faster than all items at once, whose numbers would each need their place and their owner
    in vectors of their own.
    """
    step = OnnxGraph(f"{PREFIX}item_")
    place, going = step.input(f"{PREFIX}item_place", "int64"), step.input(f"{PREFIX}item_going", "bool")
    score_I = step.input(f"{PREFIX}item_scores", "float32")
    at = step.op("Unsqueeze", place, step.constant([0], "int64"), dtype="int64")
    row = step.op("Gather", met_J, at, dtype="int64")
    begin = step.op("Gather", start_I1, row, dtype="int64")
    end = step.op("Gather", start_I1, step.op("Add", row, step.constant([1], "int64"), dtype="int64"), dtype="int64")
    near = step.op("Slice", item_K, begin, end, dtype="int32")
    more = added(step, score_I, near, step.op("Slice", weight_K, begin, end, dtype="float32"))
    return step.loop_body([place, going, score_I], going, more, 1)


def _entries(module: SparseItems) -> tuple[Tensor, Tensor, Tensor]:
    """start_I1, item_K and weight_K without zeros, which add nothing."""
    there_K = module.weight_K != 0
    kept_K1 = there_K.new_zeros(len(there_K) + 1, dtype=module.start_I1.dtype)
    kept_K1[1:] = there_K.cumsum(0)
    return kept_K1[module.start_I1], module.item_K[there_K], module.weight_K[there_K]
