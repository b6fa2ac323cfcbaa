"""A trained torch module as an ONNX graph over ids and dense features, large tensors outside of it.

Legend of shapes: B rows, F categorical features, D continuous features.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor, nn

from etl.onnx import Value, offsets_name, values_name
from serve.graph import IR_VERSION, OPSET, OnnxGraph
from serve.sums import sums_of, write_sums
from train.batch import Batch, Features
from train.jagged import Jagged

if TYPE_CHECKING:
    import onnx_ir

IDS, DENSE = "ids_BF", "dense_BD"
LIST = "list"
PREFIX = "network_"
LARGE = 1 << 16
"""Tensors of at least this many bytes go to the data file."""
ALIGNMENT = 4096
"""A page: what memory-mapping needs."""


@dataclass(frozen=True)
class DataFile:
    """Where large tensors are written: an open file, and the name that the model knows it by."""

    file: BinaryIO
    name: str

    def append(self, array: NDArray[Any]) -> tuple[int, int]:
        """Write an array at the next page: offset and length in bytes."""
        start = -(-self.file.tell() // ALIGNMENT) * ALIGNMENT
        self.file.write(b"\0" * (start - self.file.tell()))
        self.file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return start, int(array.nbytes)


def stored(graph: OnnxGraph, tensor: Tensor, data: DataFile) -> Value:
    """A constant of a graph that is written by hand; a large one lies in the data file."""
    array = tensor.detach().cpu().numpy()
    if array.nbytes < LARGE:
        return graph.constant(array, str(array.dtype))
    offset, length = data.append(array)
    return graph.external(data.name, array.shape, str(array.dtype), offset=offset, length=length)


class _Flat(nn.Module):
    """A module over a Batch as one over tensors, which is what the exporter takes."""

    def __init__(self, module: nn.Module, names: tuple[str, ...], *, sigmoid: bool, apart: bool) -> None:
        super().__init__()
        self.module, self.names, self.sigmoid, self.apart = module, names, sigmoid, apart

    def forward(self, ids_BF: Tensor, dense_BD: Tensor, *parts: Tensor) -> Tensor | tuple[Tensor, ...]:
        lists = {name: Jagged(*parts[2 * place : 2 * place + 2]) for place, name in enumerate(self.names)}
        out: Tensor = self.module(Batch(ids_BF, dense_BD, lists=lists))
        out = torch.sigmoid(out) if self.sigmoid else out
        return out.unbind(1) if self.apart else out


def input_names(features: Features) -> tuple[str, ...]:
    """The inputs of a network, in order: ids, dense features, elements and offsets of each list.

    Example:
        >>> from train.batch import ListFeature
        >>> input_names(Features((), (), (), (ListFeature("genres", 5),)))
        ('ids_BF', 'dense_BD', 'list0__values', 'list0__offsets')
    """
    names = [f"{LIST}{place}" for place in range(len(features.lists))]
    return (IDS, DENSE, *(one for name in names for one in (values_name(name), offsets_name(name))))


def network_model(
    module: nn.Module,
    features: Features,
    data: DataFile,
    *,
    output: str,
    sigmoid: bool,
    beside: Sequence[str] = (),
) -> ModelProto:
    """Export a module in evaluation mode.

    Args:
        module: Batch -> logit_B, or Batch -> vector_BD; with outputs beside, one matrix with a column for each.
        features: What the module reads; gives F and D.
        data: Takes the large tensors.
        output: Name of the output.
        sigmoid: Turn the logit into a probability.
        beside: Names of further outputs.

    Returns:
        A model with the inputs `input_names` (int64 but for `dense_BD`, which is float32); every other name starts
        with `network_`. It holds no path of this machine and no trace of the source.
    """
    import onnx_ir

    outputs = [output, *beside]
    flat = _Flat(module, tuple(one.name for one in features.lists), sigmoid=sigmoid, apart=len(outputs) > 1).eval()
    inputs = list(input_names(features))
    example, shapes = _example(features)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            flat,
            example,
            dynamo=True,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            verbose=False,
        )
    assert program is not None
    model = program.model
    model.ir_version = IR_VERSION
    _rename(model, {*inputs, *outputs})
    _move_large(model, data)
    sums, proto = sums_of(model.graph), onnx_ir.to_proto(model)
    write_sums(proto, sums, PREFIX)
    return proto


def _example(features: Features) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
    """Tensors that the exporter follows through the module, and which of their sizes are free."""
    # Two rows, since the tracer would take a single one for a constant of the model.
    rows = torch.export.Dim("rows")
    ids_BF = torch.zeros(2, len(features.categorical), dtype=torch.int64)
    parts, free = [], []
    # The histories of a row are equally long, other lists as long as they like.
    names = ["history" if one.of is not None else str(place) for place, one in enumerate(features.lists)]
    for name in names:
        elements = 3 + names.index(name)
        parts += [torch.zeros(elements, dtype=torch.int64), torch.tensor([0, 1, elements])]
        free += [{0: torch.export.Dim(f"elements_{name}")}, {0: rows + 1}]
    example = (ids_BF, torch.zeros(2, len(features.continuous)), *parts)
    # Without lists there is no third argument to be free.
    return example, ({0: rows}, {0: rows}, tuple(free)) if parts else ({0: rows}, {0: rows})


def _rename(model: onnx_ir.Model, kept: set[str]) -> None:
    """Prefix every name but the interface's, and drop the exporter's notes: they name source files."""
    graphs = list(_graphs(model.graph))
    values = [value for graph in graphs for value in (*graph.initializers.values(), *graph.inputs)]
    for index, node in enumerate(node for graph in graphs for node in graph):
        node.name = f"{PREFIX}{index}_{node.op_type}"
        node.metadata_props.clear()
        node.doc_string = None
        values.extend(node.outputs)
    for value in dict.fromkeys(values):
        value.metadata_props.clear()
        value.doc_string = None
        if value.name not in kept:
            value.name = f"{PREFIX}{value.name}"
    for index, graph in enumerate(graphs):
        graph.name = f"{PREFIX}graph{index or ''}"
        graph.metadata_props.clear()
        graph.doc_string = None
    model.metadata_props.clear()
    model.doc_string = None


def _graphs(graph: onnx_ir.Graph) -> Iterator[onnx_ir.Graph]:
    """A graph and those inside of its nodes, such as the step of a loop."""
    yield graph
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.value is not None and attribute.type.name == "GRAPH":
                yield from _graphs(attribute.as_graph())


def _move_large(model: onnx_ir.Model, data: DataFile) -> None:
    """Write the large tensors to the data file, straight from the module's memory."""
    import onnx_ir

    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is None or tensor.nbytes < LARGE:
            continue
        offset, length = data.append(tensor.numpy())
        name, shape = str(value.name), onnx_ir.Shape(tensor.numpy().shape)
        value.const_value = onnx_ir.ExternalTensor(data.name, offset, length, tensor.dtype, shape=shape, name=name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's chatter (absent torchvision, its own deprecations) from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
