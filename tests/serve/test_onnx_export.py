"""The exported file gives what torch gives, on raw columns with nulls and unknown ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.schema import Column, DType, Schema
from etl.onnx import INT_NULL
from serve.onnx_export import export_model
from serve.runtime import Model
from serve.signature import Array
from tests.serve.standin import FEATURES, Constant, Net, Workflow
from train.batch import Features


@pytest.fixture(scope="module")
def net() -> Net:
    return Net().eval()


@pytest.fixture(scope="module")
def model(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Model:
    file = tmp_path_factory.mktemp("export") / "ranker.onnx"
    signature = export_model(file, Workflow(), net, FEATURES, output="score")
    return Model(file, signature)


def expected(net: Net, columns: dict[str, Array]) -> Array:
    rows = max(len(values) for values in columns.values())
    spread = {name: np.resize(values, rows) for name, values in columns.items()}
    with torch.no_grad():
        scores: Array = torch.sigmoid(net(Workflow().transform(spread))).numpy()
    return scores


USER = st.sampled_from([10, 20, 30, 99, -1, INT_NULL, 2**63 - 1])
JOB = st.sampled_from(["doctor", "writer", "", "baker", "Doctor", "é"])
AGE = st.sampled_from([0.0, 1e-9, 30.0, 1e12, float("nan")])


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.tuples(USER, JOB, AGE), min_size=1, max_size=20), one=st.sets(st.sampled_from("uja")))
def test_onnx_equals_torch_over_nulls_unknowns_and_broadcast(
    model: Model, net: Net, rows: list[tuple[int, str, float]], one: set[str]
) -> None:
    user, job, age = zip(*rows, strict=True)
    columns = {
        "user_id": np.array(user[:1] if "u" in one else user),
        "job": np.array(job[:1] if "j" in one else job, dtype=object),
        "age": np.array(age[:1] if "a" in one else age),
    }
    np.testing.assert_allclose(model.run(columns), expected(net, columns), rtol=0, atol=1e-6)


def test_the_signature_has_raw_names_types_and_sides(model: Model) -> None:
    found = [(item.name, item.dtype, item.side) for item in model.signature.inputs]
    assert found == [("user_id", "int64", "user"), ("job", "string", "user"), ("age", "float64", "item")]


def test_large_tensors_lie_in_the_data_file_and_no_source_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ranker.onnx"
    signature = export_model(file, Workflow(), Net(rows=20_000), FEATURES, output="score")
    assert (tmp_path / "ranker.onnx.data").stat().st_size == 20_000 * 4 * 4
    assert file.stat().st_size < 20_000
    text = file.read_bytes()
    assert b"standin" not in text
    assert b".py" not in text
    assert len(Model(file, signature).run(_one_row())) == 1


def test_two_exports_have_the_same_bytes(tmp_path: Path, net: Net) -> None:
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    for file in (first, second):
        export_model(file, Workflow(), net, FEATURES, output="score")
    assert first.read_bytes() == second.read_bytes()


def test_versions_stay_where_other_runtimes_read_them(model: Model, net: Net, tmp_path: Path) -> None:
    export_model(tmp_path / "m.onnx", Workflow(), net, FEATURES, output="score")
    proto = onnx.load(tmp_path / "m.onnx")
    assert proto.ir_version <= 10
    assert {entry.domain: entry.version for entry in proto.opset_import} == {"": 18, "ai.onnx.ml": 4}


def test_a_vector_model_without_continuous_columns(tmp_path: Path) -> None:
    class Ids(Net):
        def __init__(self) -> None:
            super().__init__(width=3)
            self.linear = torch.nn.Linear(8, 3)

    net = Ids().eval()
    features = Features(("user_id", "job"), (6, 5), ())
    signature = export_model(tmp_path / "r.onnx", Workflow(), net, features, output="vector", width=3)
    columns = {"user_id": np.array([10, 99]), "job": np.array(["writer"], dtype=object)}
    vectors = Model(tmp_path / "r.onnx", signature).run(columns)
    batch = Workflow().transform({**columns, "job": np.array(["writer"] * 2, object), "age": np.zeros(2)})
    with torch.no_grad():
        wanted = net(type(batch)(batch.ids_BF, torch.zeros(2, 0))).numpy()
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)


def test_a_query_that_reads_nothing_but_the_number_of_rows(tmp_path: Path) -> None:
    features = Features(("user_id",), (6,), ())
    signature = export_model(tmp_path / "r.onnx", Workflow(), Constant(), features, output="vector", width=1)
    assert Model(tmp_path / "r.onnx", signature).run({"user_id": np.array([1, 2, 3])}).tolist() == [[1.0]] * 3


def test_a_raw_column_named_like_the_output_is_refused(tmp_path: Path, net: Net) -> None:
    class Clash(Workflow):
        input_schema = Schema((Column("score", DType.INT64),))

        def inputs_of(self, columns: object) -> tuple[str, ...]:
            return ("score",)

    with pytest.raises(UserError, match="cannot have this name"):
        export_model(tmp_path / "r.onnx", Clash(), net, FEATURES, output="score")


def _one_row() -> dict[str, Array]:
    return {"user_id": np.array([10]), "job": np.array(["doctor"], object), "age": np.array([1.0])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_id": np.array([1.0])}, "user_id: the input must be int64, got float64"),
        ({"user_id": np.array([[1]])}, r"user_id: the input must have the shape \[rows\] or \[1\], got \[1, 1\]"),
        ({"user_id": np.array([], np.int64)}, r"got \[0\]"),
        ({"user_id": np.array([1, 2]), "age": np.ones(3)}, "one common length"),
        ({"ages": np.ones(1)}, "ages: the model has no such input; did you mean age"),
        ({"age": None}, "inputs are missing: age"),
    ],
)
def test_columns_that_do_not_fit(model: Model, change: dict[str, Array], message: str) -> None:
    columns = {name: values for name, values in {**_one_row(), **change}.items() if values is not None}
    with pytest.raises(UserError, match=message):
        model.run(columns)
