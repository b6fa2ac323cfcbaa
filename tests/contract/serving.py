"""Runs a fitted workflow as the serving graph it writes, next to its Polars form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime as ort
import polars as pl

from core.schema import DType, Tag
from etl.fitted import Fitted
from etl.onnx import INT_NULL
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


@dataclass(frozen=True)
class Served:
    """The graph of a fitted workflow, ready to run."""

    fitted: Fitted

    @cached_property
    def session(self) -> ort.InferenceSession:
        graph = OnnxGraph()
        schema = self.fitted.input_schema
        inputs = {column.name: graph.input(column.name, input_type(column.dtype)) for column in schema}
        outputs = self.fitted.onnx(graph, inputs)
        model = graph.to_model(list(inputs.values()), {f"out_{name}": value for name, value in outputs.items()})
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, rows: pl.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
        feed = {column.name: encode(rows[column.name], column.dtype) for column in self.fitted.input_schema}
        names = [output.name for output in self.session.get_outputs()]
        values = self.session.run(names, feed)
        return {name.removeprefix("out_"): value for name, value in zip(names, values, strict=True)}


def assert_same(fitted: Fitted, served: Served, rows: pl.DataFrame) -> None:
    """Serving equals transforming: ids exactly, numbers to the last bits of float32, nulls where nulls are."""
    expected, given = fitted.transform(rows).collect(), served.run(rows)
    assert list(given) == expected.columns
    for column in fitted.schema:
        left, right = expected[column.name], given[column.name]
        assert right.shape == (rows.height,), column.name
        if left.dtype.is_float():
            numbers = left.fill_null(np.nan).to_numpy()
            assert right.dtype == numbers.dtype
            assert right.dtype == np.float32 or Tag.CONTINUOUS not in column.tags
            np.testing.assert_allclose(right, numbers, rtol=2.5e-7, atol=1e-40, equal_nan=True, err_msg=column.name)
        else:
            assert right.tolist() == encode(left, column.dtype).tolist(), column.name
