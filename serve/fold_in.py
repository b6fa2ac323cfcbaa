"""The query of iALS as an ONNX graph: a system of equations for each history, solved by conjugate gradients.

The vector x of a list solves (G + penalty I + sum of y y^T) x = sum of y, with G common to all. Let G = Q diag(g) Q^T
and w = (g + penalty)^(-1/2) Q^T y: then x = Q (g + penalty)^(-1/2) z, and z solves (I + sum of w w^T) z = sum of w.
All eigenvalues but as many as the list has items are 1 there, so so many steps and one find z; it is always a few.
No matrix is made, and a step costs two products of J by V.

Source: Hestenes & Stiefel, 1952, Methods of Conjugate Gradients for Solving Linear Systems.

Legend of shapes: B lists, J different items of one, I items, V dimensions.
"""

from __future__ import annotations

import onnx
import torch
from torch import Tensor, nn

from etl.onnx import Ragged, Value
from serve.graph import OnnxGraph
from serve.network import PREFIX, DataFile, stored
from serve.ragged import each_list
from train.models.retrieve.ials import FoldIn

ENOUGH = 1e-24
"""A list is solved when the square of what its equations still miss has fallen to this share."""
FLOAT, DOUBLE = 1, 11
"""Element types in ONNX."""


def fold_in(graph: OnnxGraph, lists: Ragged, module: nn.Module, data: DataFile) -> Value:
    """vector_BV: what the loss of iALS wants for each list, with the items as they are."""
    assert isinstance(module, FoldIn)
    value_V, turn_VV = _axes(module)
    turned_IV = stored(graph, (module.vector_IV.double() @ turn_VV).float(), data)
    back_VV = stored(graph, turn_VV.T.contiguous(), data)

    def vector(inner: OnnxGraph, met_J: Value) -> Value:
        count = inner.op("Cast", inner.op("Shape", met_J, dtype="int64"), dtype="float64", to=DOUBLE)
        scale_V = _scale(inner, module, count, inner.constant(value_V.numpy(), "float64"))
        near_JV = inner.op("Cast", inner.op("Gather", turned_IV, met_J, dtype="float32"), dtype="float64", to=DOUBLE)
        solved_1V = _solved(inner, inner.op("Mul", near_JV, scale_V, dtype="float64"), len(value_V))
        solved_1V = inner.op("Mul", solved_1V, scale_V, dtype="float64")
        vector_1V = inner.op("MatMul", solved_1V, back_VV, dtype="float64")
        vector_V = inner.op("Squeeze", vector_1V, inner.constant([0], "int64"), dtype="float64")
        return inner.op("Cast", vector_V, dtype="float32", to=FLOAT)

    return each_list(graph, lists, vector)


def _axes(module: FoldIn) -> tuple[Tensor, Tensor]:
    """G and Q."""
    vector_IV = module.vector_IV.double()
    value_V, turn_VV = torch.linalg.eigh(module.penalty.unobserved * (vector_IV.T @ vector_IV))
    return value_V.clamp(min=0.0), turn_VV


def _scale(graph: OnnxGraph, module: FoldIn, met: Value, value_V: Value) -> Value:
    """(g + penalty)^(-1/2) of a list of so many different items."""
    penalty = module.penalty
    pairs = graph.op("Add", met, graph.constant(penalty.unobserved * module.items, "float64"), dtype="float64")
    grown = graph.op("Pow", pairs, graph.constant(penalty.exponent, "float64"), dtype="float64")
    whole = graph.op("Mul", grown, graph.constant(penalty.l2, "float64"), dtype="float64")
    root_V = graph.op("Sqrt", graph.op("Add", value_V, whole, dtype="float64"), dtype="float64")
    return graph.op("Reciprocal", root_V, dtype="float64")


def _solved(graph: OnnxGraph, near_JV: Value, width: int) -> Value:
    """Z of one list, [1, V]."""
    first = graph.constant([0], "int64")
    wanted_1V = graph.op("ReduceSum", near_JV, first, dtype="float64", keepdims=1)
    size = _product(graph, wanted_1V, wanted_1V)
    zero = graph.constant(0.0, "float64")
    nothing_1V = graph.op("Mul", wanted_1V, zero, dtype="float64")
    # What is carried from step to step: z so far, what the equations still miss, and where to go.
    state_3V = graph.op("Concat", nothing_1V, wanted_1V, wanted_1V, dtype="float64", axis=0)
    enough = graph.op("Mul", size, graph.constant(ENOUGH, "float64"), dtype="float64")
    steps = graph.constant(2 * width + 16, "int64")
    start = graph.op("Greater", size, zero, dtype="bool")
    state_3V = graph.op("Loop", steps, start, state_3V, dtype="float64", body=_step(near_JV, enough, width))
    return graph.op("Gather", state_3V, first, dtype="float64", axis=0)


def _step(near_JV: Value, enough: Value, width: int) -> onnx.GraphProto:
    """One step of conjugate gradients."""
    graph = OnnxGraph(f"{PREFIX}step_")
    number, going = graph.input(f"{PREFIX}step_number", "int64"), graph.input(f"{PREFIX}step_going", "bool")
    state_3V = graph.input(f"{PREFIX}step_state", "float64")
    found, left, way = (
        graph.op("Gather", state_3V, graph.constant([place], "int64"), dtype="float64", axis=0) for place in range(3)
    )
    upright = graph.op("Reshape", way, graph.constant([width, 1], "int64"), dtype="float64")
    seen_1J = graph.op("MatMul", near_JV, upright, dtype="float64")
    seen_1J = graph.op("Reshape", seen_1J, graph.constant([1, -1], "int64"), dtype="float64")
    sent = graph.op("Add", way, graph.op("MatMul", seen_1J, near_JV, dtype="float64"), dtype="float64")
    size = _product(graph, left, left)
    far = graph.op("Div", size, _product(graph, way, sent), dtype="float64")
    found = graph.op("Add", found, graph.op("Mul", far, way, dtype="float64"), dtype="float64")
    left = graph.op("Sub", left, graph.op("Mul", far, sent, dtype="float64"), dtype="float64")
    smaller = _product(graph, left, left)
    turn = graph.op("Mul", graph.op("Div", smaller, size, dtype="float64"), way, dtype="float64")
    way = graph.op("Add", left, turn, dtype="float64")
    more = graph.op("Greater", smaller, enough, dtype="bool")
    state = graph.op("Concat", found, left, way, dtype="float64", axis=0)
    return graph.loop_body([number, going, state_3V], more, state, 2)


def _product(graph: OnnxGraph, one: Value, other: Value) -> Value:
    """The inner product of two vectors, a scalar."""
    return graph.op("ReduceSum", graph.op("Mul", one, other, dtype="float64"), dtype="float64", keepdims=0)
