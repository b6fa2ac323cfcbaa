"""Networks that are written as ONNX graphs node by node, since torch's exporter can't follow them.

They read what somebody met and nothing else; whatever came again counts once.
"""

from __future__ import annotations

from collections.abc import Callable

from onnx import ModelProto
from torch import nn

from etl.onnx import Ragged, Value, offsets_name, values_name
from serve.fold_in import fold_in
from serve.graph import OnnxGraph
from serve.item_item import dense_items, sparse_items
from serve.network import LIST, PREFIX, DataFile
from serve.ragged import distinct
from train.models.retrieve.ials import FoldIn
from train.models.retrieve.item_item import DenseItems, SparseItems

OfHistory = DenseItems | SparseItems | FoldIn
Writer = Callable[[OnnxGraph, Ragged, nn.Module, DataFile], Value]
"""Adds a module to a graph: from lists of rows of items, in which none comes twice, to what the module gives."""

WRITTEN: dict[type[nn.Module], Writer] = {DenseItems: dense_items, SparseItems: sparse_items, FoldIn: fold_in}
"""Which modules are written by hand."""


def written_model(module: nn.Module, data: DataFile, *, output: str) -> ModelProto | None:
    """The graph of a module that is written by hand; None: of any other.

    Its inputs and names are those of `network.network_model` for a model whose one feature is the history.
    """
    if not isinstance(module, OfHistory):
        return None
    graph = OnnxGraph(PREFIX)
    given = [graph.input(name(f"{LIST}0"), "int64") for name in (values_name, offsets_name)]
    lists = distinct(graph, Ragged(given[0].name, "int64", given[1]), module.items)
    found = WRITTEN[type(module)](graph, lists, module, data)
    return graph.to_model(given, {output: found}, ranks={output: 2})
