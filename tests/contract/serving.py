"""Runs a fitted workflow as the serving graph it writes, next to its Polars form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime as ort
import polars as pl

from core.schema import Column, DType, Tag
from etl.fitted import Fitted
from etl.onnx import INT_NULL, Ragged, Value, offsets_name, values_name
from serve.graph import OnnxGraph


def input_type(dtype: DType) -> str:
    if dtype == DType.STRING:
        return "string"
    return dtype.value if dtype in {DType.FLOAT32, DType.FLOAT64} else "int64"


def encode(values: pl.Series, dtype: DType) -> np.ndarray[Any, Any]:
    """A raw column as a client would send it: nulls as values."""
    if dtype == DType.STRING:
        return np.array([value or "" for value in values.to_list()], dtype=object)
    if dtype in {DType.FLOAT32, DType.FLOAT64}:
        return np.array([np.nan if value is None else value for value in values.to_list()], dtype=dtype.value)
    if values.dtype.is_temporal():
        values = values.cast(pl.Datetime("us")).to_physical()
    return np.array([INT_NULL if value is None else int(value) for value in values.to_list()], dtype=np.int64)


def feed(values: pl.Series, column: Column) -> dict[str, np.ndarray[Any, Any]]:
    """What a client sends of a raw column; of lists the elements and where rows begin."""
    if not column.is_list:
        return {column.name: encode(values, column.dtype)}
    elements, offsets = flat(values)
    return {values_name(column.name): encode(elements, column.dtype), offsets_name(column.name): offsets}


def flat(lists: pl.Series) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    """Elements and offsets; a null list is an empty one."""
    offsets = np.concatenate([[0], lists.list.len().fill_null(0).cast(pl.Int64).cum_sum().to_numpy()])
    return lists.drop_nulls().explode(empty_as_null=False), offsets.astype(np.int64)


def graph_input(graph: OnnxGraph, column: Column) -> Value:
    dtype = input_type(column.dtype)
    if not column.is_list:
        return graph.input(column.name, dtype)
    values = graph.input(values_name(column.name), dtype)
    return Ragged(values.name, values.dtype, graph.input(offsets_name(column.name), "int64"))


def tensors(values: dict[str, Value]) -> dict[str, Value]:
    """Outputs of the graph by name: one, or the two of a list."""
    made: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, Ragged):
            made |= {values_name(name): value, offsets_name(name): value.offsets}
        else:
            made[name] = value
    return made


@dataclass(frozen=True)
class Served:
    """The graph of a fitted workflow, ready to run."""

    fitted: Fitted

    @cached_property
    def session(self) -> ort.InferenceSession:
        graph = OnnxGraph()
        schema = self.fitted.input_schema
        inputs = {column.name: graph_input(graph, column) for column in schema}
        outputs = tensors(self.fitted.onnx(graph, inputs))
        named = {f"out_{name}": value for name, value in outputs.items()}
        model = graph.to_model(list(tensors(inputs).values()), named)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, rows: pl.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
        given: dict[str, Any] = {}
        for column in self.fitted.input_schema:
            given |= feed(rows[column.name], column)
        names = [output.name for output in self.session.get_outputs()]
        values = self.session.run(names, given)
        return {name.removeprefix("out_"): value for name, value in zip(names, values, strict=True)}


def assert_same(fitted: Fitted, served: Served, rows: pl.DataFrame) -> None:
    """Serving equals transforming: ids exactly, numbers to the last bits of float32, nulls where nulls are."""
    expected, given = fitted.transform(rows).collect(), served.run(rows)
    assert [name.removesuffix("__values") for name in given if not name.endswith("__offsets")] == expected.columns
    for column in fitted.schema:
        left = expected[column.name]
        if column.is_list:
            left, offsets = flat(left)
            assert given[offsets_name(column.name)].tolist() == offsets.tolist(), column.name
            right = given[values_name(column.name)]
        else:
            right = given[column.name]
        assert right.shape == (len(left),), column.name
        if left.dtype.is_float():
            numbers = left.fill_null(np.nan).to_numpy()
            assert right.dtype == numbers.dtype
            assert right.dtype == np.float32 or Tag.CONTINUOUS not in column.tags
            np.testing.assert_allclose(right, numbers, rtol=2.5e-7, atol=1e-40, equal_nan=True, err_msg=column.name)
        else:
            assert right.tolist() == encode(left, column.dtype).tolist(), column.name
