"""The bundle on disk: complete, replayed to 1e-5, and every kind of damage is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from core.errors import UserError
from core.files import hash_file
from serve.bundle import Bundle
from serve.export import write_bundle
from serve.golden import vector_column
from serve.spec import ExportSpec
from serve.verify import largest_difference, verify
from tests.serve import planted

FILES = {
    "golden.parquet",
    "index.faiss",
    "items.parquet",
    "manifest.json",
    "ranker.onnx",
    "retriever.onnx",
    "schema.json",
    "seen.parquet",
    "users.parquet",
}


@pytest.fixture
def copy(bundle_path: Path, tmp_path: Path) -> Path:
    """A bundle that the test may damage."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy"))


def edit_manifest(path: Path, change: Callable[[Any], None]) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def accept_changes(path: Path) -> None:
    """Write the hashes of what is there now into the manifest."""

    def change(manifest: Any) -> None:
        for name, entry in manifest["files"].items():
            entry.update(bytes=(path / name).stat().st_size, sha256=hash_file(path / name))

    edit_manifest(path, change)


def test_a_good_bundle(bundle_path: Path) -> None:
    found = verify(bundle_path)
    assert found.ok
    assert found.largest_difference <= 1e-6
    assert (found.rows, found.files) == (50, 8)
    assert set(found.differences) == {"ranker", "retriever"}
    assert {file.name for file in bundle_path.iterdir()} == FILES


def test_golden_rows_hold_nulls_and_raw_types(bundle_path: Path) -> None:
    golden = Bundle.open(bundle_path).table("golden.parquet")
    assert golden["age"].null_count() > 0
    assert golden["year"].null_count() > 0
    assert golden.schema["price"] == pl.Float32
    assert golden["__score__"].is_between(0, 1).all()


@pytest.mark.parametrize("name", sorted(FILES - {"manifest.json"}))
def test_one_changed_byte_is_found(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(UserError, match=rf"{name}: the content differs"):
        verify(copy)


@pytest.mark.parametrize("name", sorted(FILES - {"manifest.json"}))
def test_a_cut_or_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"{name}: the file has \d+ bytes, \d+ were exported"):
        Bundle.open(copy)
    (copy / name).unlink()
    with pytest.raises(UserError, match=rf"{name}: a file of the bundle is missing"):
        Bundle.open(copy)


def test_other_scores_are_a_difference(copy: Path) -> None:
    golden = pl.read_parquet(copy / "golden.parquet")
    scores = golden["__score__"].to_list()
    scores[7] = 0.123
    golden.with_columns(pl.Series("__score__", scores, pl.Float32)).write_parquet(copy / "golden.parquet")
    accept_changes(copy)
    found = verify(copy)
    assert not found.ok
    assert found.differences["retriever"] <= 1e-6
    assert found.largest_difference == pytest.approx(abs(golden["__score__"][7] - 0.123), abs=1e-6)


def test_other_vectors_are_a_difference(copy: Path) -> None:
    golden = pl.read_parquet(copy / "golden.parquet")
    vectors = golden["__vector__"].to_numpy().copy()
    vectors[3, 1] = np.nan
    golden.with_columns(vector_column(vectors)).write_parquet(copy / "golden.parquet")
    accept_changes(copy)
    assert verify(copy).differences["retriever"] == float("inf")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(version=99), "the bundle has version 99, this program reads up to 1; update gyrfalcon"),
        (lambda m: m.update(version="1"), "the bundle has version 1, "),
        (lambda m: m.update(kind="other"), "not a bundle's manifest"),
        (lambda m: m.pop("files"), "does not list the files"),
        (lambda m: m["files"].update({"ranker.onnx": 3}), "does not list the files"),
        (lambda m: m["files"].update({"../out": m["files"]["ranker.onnx"]}), "'../out' leaves its directory"),
        (lambda m: m["files"].update({"/etc/hosts": m["files"]["ranker.onnx"]}), "leaves its directory"),
        (lambda m: m["files"].pop("schema.json"), "lists no schema.json"),
        (lambda m: m["files"].pop("ranker.onnx"), "lists no ranker.onnx"),
    ],
)
def test_a_manifest_that_cannot_be_right(copy: Path, change: Callable[[Any], None], message: str) -> None:
    edit_manifest(copy, change)
    with pytest.raises(UserError, match=message):
        verify(copy)


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no bundle here"):
        verify(tmp_path)
    (tmp_path / "manifest.json").write_text("[1, 2]")
    with pytest.raises(UserError, match="not a bundle's manifest"):
        verify(tmp_path)
    (tmp_path / "manifest.json").write_text('{"kind"')
    with pytest.raises(UserError, match="not valid JSON"):
        verify(tmp_path)


@pytest.mark.parametrize(
    "text", ['{"models": 3, "roles": {}}', '{"roles": {}}', "[]", '{"models": {"a": {}}, "roles": {}}']
)
def test_a_schema_that_is_none(copy: Path, text: str) -> None:
    (copy / "schema.json").write_text(text)
    accept_changes(copy)
    with pytest.raises(UserError, match=r"schema\.json: this is not a bundle's schema"):
        Bundle.open(copy)


def test_a_model_that_is_none(copy: Path) -> None:
    (copy / "ranker.onnx").write_bytes(b"not a model")
    accept_changes(copy)
    with pytest.raises(UserError, match=r"ranker\.onnx: ONNX Runtime cannot load the model"):
        verify(copy)


def test_two_exports_have_the_same_bytes(tmp_path: Path) -> None:
    made = planted.parts(tmp_path / "data", retriever=False)
    for name in ("a", "b"):
        write_bundle(made, ExportSpec(), tmp_path / name, metrics={}, config={})
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


@pytest.mark.parametrize(("ranker", "retriever"), [(True, False), (False, True)])
def test_a_bundle_with_one_model(tmp_path: Path, ranker: bool, retriever: bool) -> None:
    path = planted.bundle(tmp_path, planted.parts(tmp_path / "data", ranker=ranker, retriever=retriever))
    assert verify(path).ok
    assert set(Bundle.open(path).signatures) == {"ranker" if ranker else "retriever"}


def test_an_item_without_a_vector_is_told_at_export(tmp_path: Path) -> None:
    made = planted.parts(tmp_path / "data")
    assert isinstance(made.retriever, planted.Retriever)
    with torch.no_grad():
        made.retriever.item_module.get_parameter("table")[5] = float("nan")
    with pytest.raises(UserError, match=r"1 of 40 items have a vector that is no number.*clip"):
        planted.bundle(tmp_path, made)
    assert not (tmp_path / "bundle" / "manifest.json").exists()


def test_a_workflow_that_cannot_take_new_users_is_told_at_export(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    planted.bundle(tmp_path, planted.parts(tmp_path / "data", fill=False))
    assert "new users cannot be served" in caplog.text


def test_differences_treat_nan_as_a_value() -> None:
    nan = np.array([np.nan, 1.0])
    assert largest_difference(nan, nan) == 0.0
    assert largest_difference(nan, np.array([0.0, 1.0])) == float("inf")
    assert largest_difference(np.array([100.0]), np.array([101.0])) == pytest.approx(1 / 101)
