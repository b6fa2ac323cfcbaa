"""The graph builder: what it makes is a valid model that ONNX Runtime runs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from etl.onnx import INT_NULL
from serve.graph import IR_VERSION, OPSET, OnnxGraph, run


def test_label_encoder_over_int_and_string_keys() -> None:
    graph = OnnxGraph()
    user, job = graph.input("user", "int64"), graph.input("job", "string")
    encoder = {"dtype": "int64", "domain": "ai.onnx.ml", "default_int64": 2, "values_int64s": [3, 4]}
    user_id = graph.op("LabelEncoder", user, keys_int64s=[10, 20], **encoder)
    job_id = graph.op("LabelEncoder", job, keys_strings=["a", "b"], **encoder)
    model = graph.to_model([user, job], {"user_id": user_id, "job_id": job_id})
    out = run(model, {"user": np.array([20, 5, INT_NULL]), "job": np.array(["b", "", "a"], object)})
    assert out["user_id"].tolist() == [4, 2, 2]
    assert out["job_id"].tolist() == [4, 2, 3]


def test_array_attributes_become_tensors() -> None:
    graph = OnnxGraph()
    key = graph.input("key", "int64")
    encoded = graph.op(
        "LabelEncoder",
        key,
        dtype="int64",
        domain="ai.onnx.ml",
        keys_tensor=np.arange(3),
        values_tensor=np.arange(3) + 5,
        default_tensor=np.array([1]),
    )
    assert run(graph.to_model([key], {"id": encoded}), {"key": np.array([2, 9])})["id"].tolist() == [7, 1]


def test_equal_constants_are_kept_once_and_types_apart() -> None:
    graph = OnnxGraph()
    assert graph.constant(1, "int64") == graph.constant(1, "int64")
    assert graph.constant(1, "int64") != graph.constant(1, "int32")
    assert graph.constant([1], "int64") != graph.constant(1, "int64")
    assert graph.constant(["a", "b"], "string") == graph.constant(["a", "b"], "string")


def test_inputs_of_different_lengths_do_not_share_a_dimension() -> None:
    graph = OnnxGraph()
    one, many = graph.input("one", "float32"), graph.input("many", "float32")
    model = graph.to_model([one, many], {"sum": graph.op("Add", one, many, dtype="float32")})
    symbols = [value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input]
    assert len(set(symbols)) == 2
    out = run(model, {"one": np.ones(1, np.float32), "many": np.ones(3, np.float32)})
    assert out["sum"].tolist() == [2, 2, 2]


def test_versions_and_names() -> None:
    graph = OnnxGraph(prefix="p_")
    value = graph.input("x", "float32")
    model = graph.to_model([value], {"y": graph.op("Neg", value, dtype="float32"), "x_again": value})
    assert model.ir_version == IR_VERSION <= 10
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET}
    assert all(node.name.startswith("p_") for node in model.graph.node)
    onnx.checker.check_model(model, full_check=True)


def test_strings_with_any_characters_stay_apart() -> None:
    graph = OnnxGraph()
    assert graph.constant(["a\0", "b"], "string") != graph.constant(["a", "\0b"], "string")


@pytest.mark.parametrize(("kind", "dtype", "domain"), [("Neg", "float16", ""), ("Neg", "float32", "nowhere")])
def test_unknown_types_and_domains_are_programmer_errors(kind: str, dtype: str, domain: str) -> None:
    graph = OnnxGraph()
    with pytest.raises(ValueError, match="must be one of"):
        graph.op(kind, dtype=dtype, domain=domain)
