"""Evaluation of several targets: each by the rows that tell it, beside its own baselines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from core.dataset import Dataset
from tests.train.two_targets import SALE, write_two
from train.evaluate import evaluate
from train.evaluation.ranker import score, scores, train_rate
from train.evaluation.sample import samples_of
from train.evaluation.spec import EvaluateSpec
from train.ranker import load_ranker, train_ranker
from train.spec import RankerSpec

CPU = torch.device("cpu")
MMOE = {"kind": "mmoe", "embedding_dim": 4, "experts": 2, "expert_hidden": [8], "tower_hidden": [4]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_two(tmp_path_factory.mktemp("two"), rows=2000).dataset


@pytest.fixture(scope="module")
def trained(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("train")
    spec = {"model": MMOE, "epochs": 1, "batch_size": 128, "optimizer": {"rate": 0.02, "embedding_rate": 0.2}}
    train_ranker(data, RankerSpec.model_validate({**spec, "seeds": [1, 2]}), out / "ranker", seed=1, device=CPU)
    return out


@pytest.fixture(scope="module")
def found(data: Dataset, trained: Path) -> dict[str, Any]:
    return evaluate(data, trained, EvaluateSpec(), device=CPU, users_file=trained / "users.parquet")


def test_figures_of_each_are_those_of_its_known_rows(data: Dataset, trained: Path, found: dict[str, Any]) -> None:
    scored = scores(data, "test", load_ranker(trained / "ranker"), batch_size=64, device=CPU)
    rows = pl.read_parquet(data.files("test"))
    known = rows[SALE].is_not_null()
    assert scored["sale"].target_N.tolist() == rows[SALE].drop_nulls().to_list()
    assert scored["sale"].user_N.tolist() == rows["__user__"].filter(known).to_list()
    assert len(scored["click"].target_N) == rows.height
    for name, figures in (("click", found["ranker"]), ("sale", found["ranker"]["targets"]["sale"])):
        own = scored[name]
        chance = torch.sigmoid(own.logit_N.double())
        assert figures["target"] == name
        assert figures["test"]["rows"] == len(own.target_N)
        assert figures["test"]["auc"] == pytest.approx(roc_auc_score(own.target_N, own.logit_N))
        assert figures["test"]["logloss"] == pytest.approx(log_loss(own.target_N, chance), abs=1e-6)
        assert {"gauc", "normalised_entropy", "calibration", "ece", "intervals"} <= figures["test"].keys()


def test_each_has_its_own_baselines_and_verdicts(data: Dataset, trained: Path, found: dict[str, Any]) -> None:
    further = found["ranker"]["targets"]["sale"]
    assert set(further["baselines"]) == set(found["ranker"]["baselines"]) == {"logistic", "constant"}
    alone = score(data, "test", load_ranker(trained / "ranker" / "baseline-sale"), batch_size=64, device=CPU)
    assert further["baselines"]["logistic"]["test"]["auc"] == alone.figures()["auc"]
    sale = pl.read_parquet(data.files("train"))[SALE]
    assert train_rate(data, load_ranker(trained / "ranker").features.targets[1]) == pytest.approx(sale.mean())
    constant = further["baselines"]["constant"]["test"]
    assert constant["calibration"] == pytest.approx(sale.mean() / constant["positive_rate"], rel=1e-4)
    told = [line for line in found["verdicts"] if "(sale)" in line]
    assert len(told) == len([line for line in found["verdicts"] if "(click)" in line]) == 4
    assert told[0].startswith("ranker mmoe (sale) ")


def test_what_is_kept_for_comparisons_and_seeds(trained: Path, found: dict[str, Any]) -> None:
    kept = samples_of(pl.read_parquet(trained / "users.parquet"))
    assert {("ranker", "mmoe", "test"), ("ranker sale", "mmoe", "test"), ("ranker sale", "logistic", "valid")} <= set(
        kept
    )
    protocol = found["judged"]["protocol"]
    assert protocol["ranker"]["target"] == "click"
    assert protocol["ranker sale"]["target"] == "sale"
    assert protocol["ranker"]["labels"] != protocol["ranker sale"]["labels"]
    assert set(found["curves"]) == {"ranker", "ranker sale"}
    seeds = found["ranker"]["seeds"]
    figures = [one["targets"]["sale"]["test"]["auc"] for one in seeds["each"].values()]
    assert seeds["mean"]["targets"]["sale"]["test"]["auc"] == pytest.approx(sum(figures) / 2)
    json.dumps(found, allow_nan=False)


def test_one_target_says_nothing_of_others(data: Dataset, tmp_path: Path) -> None:
    spec = {"model": {"kind": "logistic"}, "epochs": 1, "target": "sale", "batch_size": 256}
    train_ranker(data, RankerSpec.model_validate(spec), tmp_path / "ranker", seed=1, device=CPU)
    found = evaluate(data, tmp_path, EvaluateSpec(), device=CPU)
    assert found["ranker"]["target"] == found["judged"]["protocol"]["ranker"]["target"] == "sale"
    assert "targets" not in found["ranker"]
    assert found["ranker"]["test"]["rows"] == pl.read_parquet(data.files("test"))[SALE].count()


def test_a_split_that_does_not_tell_a_target_yet(trained: Path, tmp_path: Path) -> None:
    """As where sales of the last days are not reported: the click is judged there, the sale isn't."""
    data = write_two(tmp_path, rows=2000).dataset
    for file in data.files("test"):
        pl.read_parquet(file).with_columns(pl.lit(None, pl.Float32).alias(SALE)).write_parquet(file)
    found = evaluate(data, trained, EvaluateSpec(), device=CPU, users_file=tmp_path / "users.parquet")
    sale = found["ranker"]["targets"]["sale"]
    assert "test" not in sale
    assert "auc" in sale["valid"]
    assert "ranker mmoe (sale) can't be judged on test: no row tells the target" in found["verdicts"]
    assert "auc" in found["ranker"]["test"]
