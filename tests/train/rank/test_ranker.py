"""Rankers on disk: what is written, read back, taken up again and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from core.dataset import TARGET, Dataset
from core.errors import UserError
from core.files import hash_tree
from tests.train.synthetic import Planted
from train.loader import Loader
from train.metrics.classification import auc
from train.models.rank.dlrm import DlrmSpec
from train.models.rank.logistic import LogisticSpec
from train.predict import predict
from train.ranker import baseline_spec, load_ranker, train_ranker
from train.spec import OptimizerSpec, RankerSpec

CPU = torch.device("cpu")
SPEC = RankerSpec(
    model=DlrmSpec(embedding_dim=8, bottom=(16,), top=(32,)),
    epochs=6,
    batch_size=128,
    optimizer=OptimizerSpec(rate=0.005, embedding_rate=0.05),
)


def _train(dataset: Dataset, out: Path, spec: RankerSpec = SPEC, seed: int = 1) -> dict[str, Any]:
    return train_ranker(dataset, spec, out, seed=seed, device=CPU)


def _test_auc(planted: Planted, directory: Path) -> float:
    ranker = load_ranker(directory)
    logit_N, target_N = predict(ranker.module, Loader(planted.dataset.files("test"), ranker.features, 100))
    return auc(logit_N, target_N)


@pytest.fixture(scope="module")
def trained(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    _train(planted.dataset, out)
    return out


def test_it_writes_what_it_says_and_nothing_else(trained: Path) -> None:
    model = ["history.json", "model.json", "model.safetensors"]
    assert sorted(hash_tree(trained)) == sorted([*model, *(f"baseline/{name}" for name in model)])


def test_it_finds_the_products_that_the_baseline_cannot(planted: Planted, trained: Path) -> None:
    assert _test_auc(planted, trained) > _test_auc(planted, trained / "baseline") + 0.03


def test_two_runs_give_the_same_bytes(planted: Planted, trained: Path, tmp_path: Path) -> None:
    _train(planted.dataset, tmp_path)
    assert hash_tree(tmp_path) == hash_tree(trained)


def test_another_seed_gives_other_weights(planted: Planted, trained: Path, tmp_path: Path) -> None:
    _train(planted.dataset, tmp_path, seed=2)
    assert hash_tree(tmp_path)["model.safetensors"] != hash_tree(trained)["model.safetensors"]


def test_the_random_state_outside_is_untouched(planted: Planted, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    _train(planted.dataset, tmp_path, SPEC.model_copy(update={"epochs": 1}))
    load_ranker(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_finished_run_is_not_repeated(planted: Planted, trained: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    figures = _train(planted.dataset, trained)
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before
    assert figures["best_epoch"] >= 1


def test_another_spec_starts_anew(planted: Planted, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    spec = SPEC.model_copy(update={"epochs": 1})
    _train(planted.dataset, out, spec)
    assert load_ranker(out).spec == spec
    assert len(json.loads((out / "history.json").read_text())["epochs"]) == 1


def test_figures_and_history(planted: Planted, tmp_path: Path) -> None:
    figures = _train(planted.dataset, tmp_path)
    history = json.loads((tmp_path / "history.json").read_text())
    epochs = history["epochs"]
    assert figures["epochs"] == len(epochs)
    assert figures["rows_per_second"] > 0
    assert figures["baseline"]["model"] == "logistic"
    assert max(epochs, key=lambda entry: entry["valid"]["auc"])["epoch"] == history["best_epoch"]
    assert set(epochs[0]["valid"]) == {"auc", "logloss"}
    assert "seconds" not in json.dumps(history)


def test_the_baseline_makes_many_steps_on_small_data() -> None:
    assert isinstance(baseline_spec(SPEC, 3000).model, LogisticSpec)
    assert baseline_spec(SPEC.model_copy(update={"batch_size": 4096}), 34_000).batch_size == 340
    assert baseline_spec(SPEC.model_copy(update={"batch_size": 4096}), 3_000_000).batch_size == 4096


def _with_target(planted: Planted, folder: Path, split: str, target: pl.Expr) -> Dataset:
    dataset = Dataset(folder / "data")
    shutil.copytree(planted.dataset.path, dataset.path)
    for file in dataset.files(split):
        pl.read_parquet(file).with_columns(target.cast(pl.Float32).alias(TARGET)).write_parquet(file)
    return dataset


@pytest.mark.parametrize(
    ("split", "target", "message"),
    [
        ("train", pl.lit(1.0), "split train: every label is 1"),
        ("valid", pl.lit(0.0), "split valid: every label is 0"),
        ("train", pl.col(TARGET) * 4, "a label is 4, where a ranker needs 0 or 1"),
        ("train", pl.col(TARGET) - 0.5, "a label is -0.5"),
        ("valid", pl.lit(None), "a label is null"),
    ],
)
def test_targets_that_teach_nothing(
    planted: Planted, tmp_path: Path, split: str, target: pl.Expr, message: str
) -> None:
    dataset = _with_target(planted, tmp_path, split, target)
    with pytest.raises(UserError, match=message):
        _train(dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("split", ["train", "valid"])
def test_an_empty_split(planted: Planted, tmp_path: Path, split: str) -> None:
    dataset = _with_target(planted, tmp_path, split, pl.lit(1.0))
    for file in dataset.files(split):
        pl.read_parquet(file).clear().write_parquet(file)
    with pytest.raises(UserError, match=f"split {split}: there are no rows"):
        _train(dataset, tmp_path / "out")


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_part_is_named(trained: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    (out / name).unlink()
    with pytest.raises(UserError, match=f"{name}: there is no such file"):
        load_ranker(out)


def test_a_newer_model_is_refused(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    value = json.loads((out / "model.json").read_text())
    (out / "model.json").write_text(json.dumps({**value, "version": 99}))
    with pytest.raises(UserError, match="version 99; update gyrfalcon"):
        load_ranker(out)


def test_weights_of_another_model_are_refused(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    shutil.copy(trained / "baseline" / "model.safetensors", out / "model.safetensors")
    with pytest.raises(UserError, match="this is not a trained ranker"):
        load_ranker(out)
