"""Rankers of several targets from and to disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch

from core.dataset import TARGET, Dataset
from core.errors import UserError
from tests.train.two_targets import SALE, write_two
from train.batch import Features
from train.evaluate import evaluate
from train.evaluation.spec import EvaluateSpec
from train.loader import Loader
from train.predict import predict
from train.ranker import load_ranker, train_ranker
from train.spec import RankerSpec
from train.targets import figures_of
from train.warm_start import require_same_features

CPU = torch.device("cpu")
MMOE = {"kind": "mmoe", "embedding_dim": 4, "experts": 2, "expert_hidden": [8], "tower_hidden": [4]}
MLP = {"kind": "mlp", "embedding_dim": 4, "hidden": [8]}
FAST = {"rate": 0.02, "embedding_rate": 0.2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_two(tmp_path_factory.mktemp("two"), rows=2000).dataset


def spec(model: dict[str, Any], **more: Any) -> RankerSpec:
    return RankerSpec.model_validate(
        {"model": model, "epochs": 2, "batch_size": 128, "optimizer": FAST, "patience": 9, **more}
    )


def history(directory: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((directory / "history.json").read_text())["epochs"]
    return found


def test_the_loader_gives_every_target_and_nan_for_null(data: Dataset) -> None:
    features = Features.of(data.schema())
    assert [one.name for one in features.targets] == ["click", "sale"]
    loader = Loader(data.files("valid"), features, 64)
    found = torch.cat([batch.targets_BT for batch in loader])
    wanted = pl.read_parquet(data.files("valid"))
    assert torch.equal(found[:, 0], torch.from_numpy(wanted[TARGET].to_numpy().copy()))
    sale = wanted[SALE].fill_null(float("nan")).to_numpy()
    torch.testing.assert_close(found[:, 1], torch.from_numpy(sale.copy()), equal_nan=True)
    assert found[:, 1].isnan().any()
    assert all(torch.equal(batch.target_B, batch.targets_BT[:, 0]) for batch in loader)


def test_one_model_learns_both_and_each_has_a_baseline(data: Dataset, tmp_path: Path) -> None:
    figures = train_ranker(data, spec(MMOE, weights={"sale": 2.0}), tmp_path, seed=1, device=CPU)
    assert {"baseline", "baseline-sale"} <= figures.keys()
    for entry in history(tmp_path):
        assert {"auc", "logloss", "auc_sale", "logloss_sale"} == entry["valid"].keys()
    best = history(tmp_path)[figures["best_epoch"] - 1]["valid"]
    ranker = load_ranker(tmp_path)
    assert [one.name for one in ranker.features.targets] == ["click", "sale"]
    logits, labels = predict(ranker.module, Loader(data.files("valid"), ranker.features, 512))
    again = figures_of(ranker.features.targets, logits, labels)
    assert again == pytest.approx(best, abs=1e-6)
    assert best["auc"] > 0.6 < best["auc_sale"]
    assert [one.column for one in load_ranker(tmp_path / "baseline-sale").features.targets] == [SALE]
    assert load_ranker(tmp_path / "baseline").module(next(iter(Loader(data.files("valid"), ranker.features, 9)))).ndim


def test_the_target_that_decides_is_monitored(data: Dataset, tmp_path: Path) -> None:
    train_ranker(data, spec(MMOE, target="sale"), tmp_path, seed=1, device=CPU)
    assert {"auc", "auc_click"} <= history(tmp_path)[0]["valid"].keys()
    assert [one.name for one in load_ranker(tmp_path).features.targets] == ["sale", "click"]


def test_a_model_of_one_target_learns_the_rows_that_tell_it(data: Dataset, tmp_path: Path) -> None:
    train_ranker(data, spec(MLP, target="sale"), tmp_path / "sale", seed=1, device=CPU)
    ranker = load_ranker(tmp_path / "sale")
    assert [one.column for one in ranker.features.targets] == [SALE]
    assert history(tmp_path / "sale")[-1]["valid"]["auc"] > 0.55
    train_ranker(data, spec(MLP), tmp_path / "click", seed=1, device=CPU)
    assert (tmp_path / "click" / "baseline").is_dir()
    assert not (tmp_path / "click" / "baseline-sale").exists()


def test_two_runs_of_two_targets_give_the_same_bytes(data: Dataset, tmp_path: Path) -> None:
    train_ranker(data, spec(MMOE, epochs=1), tmp_path / "one", seed=1, device=CPU, baseline=False)
    train_ranker(data, spec(MMOE, epochs=1), tmp_path / "two", seed=1, device=CPU, baseline=False)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"target": "sales"}, "no target sales"),
        ({"weights": {"purchase": 2}}, "no target purchase"),
        ({"weights": {"click": 0}}, "click decides which epoch is kept"),
        ({"model": MLP, "weights": {"sale": 2}}, "mlp learns one target"),
        ({"target": "sale", "negatives": {"count": 2}}, "negatives are rows without the main target"),
    ],
)
def test_settings_that_are_refused(data: Dataset, tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    chosen = spec(**{"model": MMOE, **settings})
    with pytest.raises(UserError, match=told):
        train_ranker(data, chosen, tmp_path, seed=1, device=CPU)
    assert not (tmp_path / "model.json").exists()


def test_a_further_target_of_one_class_is_refused_by_name(tmp_path: Path) -> None:
    dataset = write_two(tmp_path / "data", rows=600).dataset
    for file in dataset.files("valid"):
        pl.read_parquet(file).with_columns(pl.lit(1.0, pl.Float32).alias(SALE)).write_parquet(file)
    with pytest.raises(UserError, match="split valid, target sale: every label is 1"):
        train_ranker(dataset, spec(MMOE), tmp_path / "model", seed=1, device=CPU)


def test_a_warm_start_keeps_the_targets_in_their_order(data: Dataset) -> None:
    features, earlier = Features.of(data.schema()), SimpleNamespace(where="train.ranker.start_from")
    click, sale = (replace(features, targets=(one,)) for one in features.targets)
    turned = replace(features, targets=features.targets[::-1])
    require_same_features(earlier, features, features)
    require_same_features(earlier, click, sale)
    for other in (turned, click):
        with pytest.raises(UserError, match="the earlier model learned click, sale, in this order, and"):
            require_same_features(earlier, features, other)


def test_a_refit_of_two_targets(data: Dataset, tmp_path: Path) -> None:
    train_ranker(data, spec(MMOE, epochs=1, refit=True), tmp_path / "ranker", seed=1, device=CPU)
    found = evaluate(data, tmp_path, EvaluateSpec(), device=CPU)
    chosen = history(tmp_path / "ranker" / "choice")[0]["valid"]
    sale = found["ranker"]["targets"]["sale"]
    assert sale["valid"]["auc"] == pytest.approx(chosen["auc_sale"])
    assert sale["test"]["auc"] > 0.5
    assert set(sale["baselines"]) == {"logistic", "constant"}
