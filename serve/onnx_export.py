"""One file from raw columns to scores: the fitted workflow's graph in front of the network's.

Legend of shapes: B rows of the request, F categorical features, D continuous features. Every raw input is a
vector of length B or 1; the workflow runs on the lengths given, so the columns of one user are computed
once, and its results are spread over the rows just in front of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import onnx

from core.errors import UserError
from core.schema import Schema
from etl.onnx import GraphBuilder, Ragged, Value
from etl.values.ragged import from_lengths, lengths
from serve.graph import PREFIX as ETL_PREFIX
from serve.graph import OnnxGraph
from serve.network import DENSE, IDS, LIST, PREFIX, DataFile, input_names, network_model
from serve.signature import Input, Signature
from serve.written import written_model
from train.batch import Features

if TYPE_CHECKING:
    from torch import nn


class Transform(Protocol):
    """What the export needs of a fitted workflow (`etl.workflow.Fitted`)."""

    @property
    def input_schema(self) -> Schema:
        """The raw columns."""
        ...

    def inputs_of(self, columns: Sequence[str]) -> Sequence[str]:
        """The raw columns that the named outputs need."""
        ...

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[str] | None = None
    ) -> dict[str, Value]:
        """Write the workflow into a graph: output name -> value."""
        ...


class Further(Protocol):
    """Features that no workflow makes (`serve.query.Query`, `serve.met.Met`)."""

    @property
    def more(self) -> Mapping[str, Input]:
        """Feature -> its raw input."""
        ...

    def made(self, graph: GraphBuilder, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """Write them into a graph."""
        ...


def export_model(
    file: Path,
    transform: Transform,
    module: nn.Module,
    features: Features,
    *,
    output: str,
    width: int = 0,
    further: Further | None = None,
    beside: Sequence[str] = (),
) -> Signature:
    """Write `file` (and `file.data` with the large tensors): raw columns in, `output` out.

    Args:
        file: Where the model goes.
        transform: The fitted workflow.
        module: Batch -> logit_B (width 0; the model gives probabilities), Batch -> vector_BD or Batch -> score_BI.
        features: What the module reads of the workflow's outputs.
        output: Name of the output.
        width: Length of an output vector, 0 for one number a row.
        further: Features that no workflow makes.
        beside: Names of outputs beside it; the module then gives a matrix with a column for each, finished.

    Returns:
        Inputs and output, as `schema.json` keeps them.
    """
    more = dict(further.more) if further else {}
    needed = set(transform.inputs_of([name for name in features.names if name not in more]))
    read = {column.name: Input.of(column) for column in transform.input_schema if column.name in needed}
    inputs = tuple({**{item.name: item for item in more.values()}, **read}.values())
    outputs = (output, *beside)
    _check_names(inputs, outputs)
    data_file = file.with_name(f"{file.name}.data")
    with data_file.open("wb") as handle:
        data = DataFile(handle, data_file.name)
        network = written_model(module, data, output=output)
        sigmoid = width == 0 and not beside
        network = network or network_model(module, features, data, output=output, sigmoid=sigmoid, beside=beside)
    if data_file.stat().st_size == 0:
        data_file.unlink()
    front = _front(transform, inputs, features, further)
    _write(file, _merge(front, network, outputs))
    return Signature(inputs, output, width, tuple(beside))


def _check_names(inputs: Sequence[Input], outputs: Sequence[str]) -> None:
    """Inputs carry the raw names, so these must leave the names inside the model alone."""
    tensors = [one for item in inputs for one in item.tensors]
    names = [one.name for one in tensors]
    for item in tensors:
        if (
            names.count(item.name) > 1
            or item.name in {IDS, DENSE, *outputs}
            or item.name.startswith((ETL_PREFIX, PREFIX, "front_", LIST))
        ):
            raise UserError("a raw column cannot have this name in a served model", where=item.name, cure="rename it")


def _front(
    transform: Transform, inputs: tuple[Input, ...], features: Features, further: Further | None
) -> onnx.ModelProto:
    """The workflow's graph, closed by the tensors that the network takes."""
    graph = OnnxGraph()
    values = {item.name: _input(graph, item) for item in inputs}
    more = further.made(graph, values) if further else {}
    own = [name for name in features.names if name not in more]
    made = {**more, **(transform.onnx(graph, values, columns=own) if own else {})}
    rows = _row_count(graph, list(values.values()))
    ids = _stack(graph, [made[name] for name in features.categorical], rows, "int64")
    dense = _stack(graph, [made[name] for name in features.continuous], rows, "float32")
    lists = [part for one in features.lists for part in _parts(_spread(graph, made[one.name], rows))]
    given = [part for value in values.values() for part in _parts(value)]
    outputs = dict(zip((f"front_{name}" for name in input_names(features)), (ids, dense, *lists), strict=True))
    return graph.to_model(given, outputs, ranks={f"front_{IDS}": 2, f"front_{DENSE}": 2})


def _spread(graph: OnnxGraph, lists: Value, rows: Value) -> Ragged:
    """Lists [B] or [1] as [B]; rows is [B, 1]."""
    assert isinstance(lists, Ragged), "a feature of lists"
    counts = lengths(graph, lists)
    size = graph.op("Gather", rows, graph.constant([0], "int64"), dtype="int64")
    times = graph.op("Div", size, graph.op("Shape", counts, dtype="int64"), dtype="int64")
    values = _cast(graph, graph.op("Tile", lists, times, dtype=lists.dtype), "int64")
    return from_lengths(graph, values, graph.op("Tile", counts, times, dtype="int64"))


def _input(graph: OnnxGraph, item: Input) -> Value:
    """The input of a column: one vector, or the two of a column of lists."""
    first, *rest = (graph.input(one.name, one.dtype) for one in item.tensors)
    return Ragged(first.name, first.dtype, rest[0]) if rest else first


def _parts(value: Value) -> list[Value]:
    return [value, value.offsets] if isinstance(value, Ragged) else [value]


def _row_count(graph: OnnxGraph, inputs: Sequence[Value]) -> Value:
    """[B, 1] as a shape, where B is the greatest length among the inputs, 1 without any."""
    if not inputs:
        return graph.constant([1, 1], "int64")
    lengths = [_length(graph, value) for value in inputs]
    greatest = graph.op("Max", *lengths, dtype="int64")
    return graph.op("Concat", greatest, graph.constant([1], "int64"), dtype="int64", axis=0)


def _length(graph: OnnxGraph, value: Value) -> Value:
    if not isinstance(value, Ragged):
        return graph.op("Shape", value, dtype="int64")
    offsets = graph.op("Shape", value.offsets, dtype="int64")
    return graph.op("Sub", offsets, graph.constant([1], "int64"), dtype="int64")


def _stack(graph: OnnxGraph, values: Sequence[Value], rows: Value, dtype: str) -> Value:
    """Vectors [B] or [1] as the columns of one matrix [B, len(values)].

    Stacking rows and one Transpose would take fewer nodes, but ONNX Runtime (1.32 still) fuses a Transpose into
    a following MatMul and then gives wrong numbers where the right operand is a vector.
    """
    if not values:
        # No column of this kind: one row of none, spread over [B, 0].
        return graph.op("Expand", graph.constant(np.zeros((1, 0)), dtype), rows, dtype=dtype)
    axis = graph.constant([1], "int64")
    spread = []
    for value in values:
        column = graph.op("Unsqueeze", _cast(graph, value, dtype), axis, dtype=dtype)
        spread.append(graph.op("Expand", column, rows, dtype=dtype))
    return graph.op("Concat", *spread, dtype=dtype, axis=1)


def _cast(graph: OnnxGraph, value: Value, dtype: str) -> Value:
    if value.dtype == dtype:
        return value
    target = {"int64": onnx.TensorProto.INT64, "float32": onnx.TensorProto.FLOAT}[dtype]
    return graph.op("Cast", value, dtype=dtype, to=int(target))


def _merge(front: onnx.ModelProto, network: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """Join the graphs at ids and dense.

    `onnx.compose` is not used: it checks the parts, and a part alone has its large tensors nowhere. Names
    cannot clash: the front's start with `etl_`, the network's with `network_`.
    """
    merged = onnx.ModelProto()
    merged.CopyFrom(front)
    graph = merged.graph
    graph.name = "gyrfalcon"
    for name in (value.name for value in network.graph.input):
        graph.node.append(onnx.helper.make_node("Identity", [f"front_{name}"], [name], name=f"join_{name}"))
    graph.node.extend(network.graph.node)
    graph.initializer.extend(network.graph.initializer)
    del graph.output[:]
    graph.output.extend(value for value in network.graph.output if value.name in outputs)
    domains = {entry.domain for entry in front.opset_import}
    merged.opset_import.extend(entry for entry in network.opset_import if entry.domain not in domains)
    return merged


def _write(file: Path, model: onnx.ModelProto) -> None:
    onnx.save_model(model, str(file))
    onnx.checker.check_model(str(file), full_check=True)
