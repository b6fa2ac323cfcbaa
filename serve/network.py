"""A trained torch module as an ONNX graph over ids and dense features, large tensors outside of it.

Legend of shapes: B rows, F categorical features, D continuous features.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor, nn

from serve.graph import IR_VERSION, OPSET
from train.batch import Batch, Features

if TYPE_CHECKING:
    import onnx_ir

IDS, DENSE = "ids_BF", "dense_BD"
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


class _Flat(nn.Module):
    """A module over a Batch as one over two tensors, which is what the exporter takes."""

    def __init__(self, module: nn.Module, *, sigmoid: bool) -> None:
        super().__init__()
        self.module, self.sigmoid = module, sigmoid

    def forward(self, ids_BF: Tensor, dense_BD: Tensor) -> Tensor:
        out: Tensor = self.module(Batch(ids_BF, dense_BD))
        return torch.sigmoid(out) if self.sigmoid else out


def network_model(module: nn.Module, features: Features, data: DataFile, *, output: str, sigmoid: bool) -> ModelProto:
    """Export a module in evaluation mode.

    Args:
        module: Batch -> logit_B, or Batch -> vector_BD.
        features: What the module reads; gives F and D.
        data: Takes the large tensors.
        output: Name of the output.
        sigmoid: Turn the logit into a probability.

    Returns:
        A model with the inputs `ids_BF` (int64) and `dense_BD` (float32); every other name starts with
        `network_`. It holds no path of this machine and no trace of the source.
    """
    import onnx_ir

    flat = _Flat(module, sigmoid=sigmoid).eval()
    shape_F, shape_D = len(features.categorical), len(features.continuous)
    # Two rows, since the tracer would take a single one for a constant of the model.
    example = (torch.zeros(2, shape_F, dtype=torch.int64), torch.zeros(2, shape_D))
    rows = torch.export.Dim("rows")
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            flat,
            example,
            dynamo=True,
            dynamic_shapes=({0: rows}, {0: rows}),
            opset_version=OPSET,
            input_names=[IDS, DENSE],
            output_names=[output],
            verbose=False,
        )
    assert program is not None
    model = program.model
    model.ir_version = IR_VERSION
    _rename(model, {IDS, DENSE, output})
    _move_large(model, data)
    return onnx_ir.to_proto(model)


def _rename(model: onnx_ir.Model, kept: set[str]) -> None:
    """Prefix every name but the interface's, and drop the exporter's notes: they name source files."""
    values = [*model.graph.initializers.values(), *model.graph.inputs]
    for index, node in enumerate(model.graph):
        node.name = f"{PREFIX}{index}_{node.op_type}"
        node.metadata_props.clear()
        node.doc_string = None
        values.extend(node.outputs)
    for value in dict.fromkeys(values):
        value.metadata_props.clear()
        value.doc_string = None
        if value.name not in kept:
            value.name = f"{PREFIX}{value.name}"
    model.graph.name = f"{PREFIX}graph"
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    model.doc_string = model.graph.doc_string = None


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
