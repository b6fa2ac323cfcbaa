"""Evaluation: figures of known models, baselines, verdicts that hide nothing, and what does not move a digit."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn import metrics as sk

from core.dataset import TARGET, USER_INDEX, Dataset
from core.errors import UserError
from train.checkpoint import load_tensors, save_tensors
from train.evaluate import evaluate
from train.evaluation.ranker import Scored, score, train_rate
from train.evaluation.spec import EvaluateSpec
from train.evaluation.verdicts import verdicts
from train.ranker import load_ranker, train_ranker
from train.retriever_training import train_retriever
from train.spec import RankerSpec, RetrieverSpec

CPU = torch.device("cpu")
SPEC = EvaluateSpec(k=(2, 8))


@pytest.fixture(scope="module")
def trained(clubs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ranker and a candidate generator that have learned the clubs."""
    place = tmp_path_factory.mktemp("train")
    ranker = {"model": {"kind": "mlp", "embedding_dim": 4, "hidden": [8]}, "epochs": 3, "batch_size": 64}
    optimizer = {"rate": 0.01, "embedding_rate": 0.2}
    retriever = {"model": {"kind": "two_tower", "embedding_dim": 8, "uniform_negatives": 16}, "batch_size": 64}
    retriever |= {"optimizer": optimizer, "epochs": 25, "patience": 25, "monitor_k": 5}
    train_ranker(clubs, RankerSpec.model_validate(ranker), place / "ranker", seed=0, device=CPU)
    train_retriever(clubs, RetrieverSpec.model_validate(retriever), place / "retriever", seed=0, device=CPU)
    return place


@pytest.fixture(scope="module")
def result(clubs: Dataset, trained: Path) -> dict[str, Any]:
    """The evaluation of both."""
    return evaluate(clubs, trained, SPEC, device=CPU)


def test_it_is_json_and_always_the_same(clubs: Dataset, trained: Path, result: dict[str, Any]) -> None:
    text = json.dumps(result, allow_nan=False, sort_keys=True)
    assert json.dumps(evaluate(clubs, trained, SPEC, device=CPU), allow_nan=False, sort_keys=True) == text
    assert json.loads(text) == result


def test_the_rankers_figures_are_scikit_learns(clubs: Dataset, trained: Path, result: dict[str, Any]) -> None:
    for split in ("valid", "test"):
        frame = pl.read_parquet(clubs.files(split))
        scored = score(clubs, split, load_ranker(trained / "ranker"), batch_size=7, device=CPU)
        target, probability = frame[TARGET].to_numpy().astype(float), torch.sigmoid(scored.logit_N.double()).numpy()
        found = result["ranker"][split]
        assert found["rows"] == frame.height
        assert found["positive_rate"] == pytest.approx(target.mean())
        assert found["users_with_one_class"] == 4  # newcomers dislike nothing
        assert found["users"] == frame[USER_INDEX].n_unique() - 4
        assert found["auc"] == pytest.approx(sk.roc_auc_score(target, probability), abs=1e-7)
        assert found["logloss"] == pytest.approx(sk.log_loss(target, probability), abs=1e-6)


def planted(rows: int = 400) -> tuple[np.ndarray, Scored]:
    """Probabilities and rows with both classes."""
    rng = np.random.default_rng(0)
    logit = rng.normal(size=rows).astype(np.float32)
    target = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    user = torch.from_numpy(rng.integers(0, 20, rows))
    return 1 / (1 + np.exp(-logit.astype(float))), Scored(torch.from_numpy(logit), torch.from_numpy(target), user)


def test_every_figure_of_scored_rows() -> None:
    probability, scored = planted()
    target, found = scored.target_N.numpy().astype(float), scored.figures()
    rate, loss = target.mean(), sk.log_loss(target, probability)
    assert found["auc"] == pytest.approx(sk.roc_auc_score(target, probability), abs=1e-12)
    assert found["logloss"] == pytest.approx(loss, abs=1e-12)
    base = -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
    assert found["normalised_entropy"] == pytest.approx(loss / base, abs=1e-12)
    assert found["calibration"] == pytest.approx(probability.sum() / target.sum(), abs=1e-12)
    assert found["accuracy"] == pytest.approx(((probability > 0.5) == (target > 0.5)).mean(), abs=1e-12)
    assert found["users"] + found["users_with_one_class"] == 20
    assert set(found) >= {"ece", "gauc", "gauc_rows", "rows", "positive_rate"}


def test_without_users_there_is_no_grouped_auc() -> None:
    _, scored = planted()
    assert "gauc" not in Scored(scored.logit_N, scored.target_N, None).figures()


def test_a_constant_knows_nothing() -> None:
    _, scored = planted()
    found = scored.constant(0.25).figures()
    assert found["auc"] == found["gauc"] == 0.5
    assert found["normalised_entropy"] >= 1.0


def test_curves_hold_every_row() -> None:
    _, scored = planted()
    curves = scored.curves()
    assert sum(rows for *_, rows in curves["calibration"]) == 400
    assert sum(curves["scores"]["positive"]) == int(scored.target_N.sum())
    assert sum(curves["scores"]["negative"]) == 400 - int(scored.target_N.sum())
    assert len(curves["scores"]["edges"]) == len(curves["scores"]["positive"]) + 1
    assert curves["roc"][0] == [0.0, 0.0]
    assert curves["roc"][-1] == [1.0, 1.0]
    ends = Scored(torch.tensor([-1000.0, 1000.0]), torch.tensor([0.0, 1.0]), None).curves()["scores"]
    assert ends["negative"][0] == ends["positive"][-1] == 1


def test_the_constant_is_the_rate_of_the_training_split(clubs: Dataset, result: dict[str, Any]) -> None:
    target = pl.read_parquet(clubs.files("train"))[TARGET]
    assert train_rate(clubs) == pytest.approx(target.mean())
    assert result["ranker"]["baselines"]["constant"]["test"]["logloss"] == pytest.approx(
        -math.log(target.mean()), abs=1e-6
    )


def test_the_retriever_stands_beside_popularity(result: dict[str, Any]) -> None:
    found = result["retriever"]
    assert found["model"] == "two_tower"
    for split in ("valid", "test"):
        ours, theirs = found[split], found["baselines"]["popularity"][split]
        assert ours["recall@8"] > theirs["recall@8"]
        assert {name: ours[name] for name in ("users", "positives", "items", "users_cold")} == {
            name: theirs[name] for name in ("users", "positives", "items", "users_cold")
        }
        assert ours["segments"]["users"]["new"]["users"] == ours["users_cold"] == 4
        assert ours["segments"]["users"]["returning"]["users"] == ours["users"] - 4
        assert ours["users_without_positives"] == 0
        for name in ("recall", "ndcg", "hr", "mrr", "map", "coverage"):
            assert 0.0 < ours[f"{name}@2"] <= ours[f"{name}@8"] <= 1.0 or name in ("map", "ndcg")


def test_verdicts_and_protocol_are_told(result: dict[str, Any]) -> None:
    told = result["verdicts"]
    assert any(line.startswith("retriever two_tower beats popularity on test: recall@8 ") for line in told)
    assert sum(" logistic on test: " in line or " constant on test: " in line for line in told) == 4
    assert any("40 items" in line for line in result["protocol"]["retriever"])
    assert any("k: 2, 8." in line for line in result["protocol"]["retriever"])
    assert result["protocol"]["ranker"]
    assert set(result["curves"]["ranker"]) == {"mlp", "logistic"}


@pytest.mark.parametrize(
    ("ours", "theirs", "sign", "word"),
    [(0.7, 0.6, 1, "beats"), (0.6, 0.7, 1, "LOSES to"), (0.6, 0.7, -1, "beats"), (0.5, 0.5, 1, "ties with")],
)
def test_a_verdict_is_honest(ours: float, theirs: float, sign: int, word: str) -> None:
    told = verdicts("ranker x", {"test": {"m": ours}}, {"y": {"test": {"m": theirs}}}, {"m": sign})
    assert told == [f"ranker x {word} y on test: m {ours:.4f} against {theirs:.4f} ({ours - theirs:+.4f})"]


def test_without_a_test_split_the_validation_split_decides() -> None:
    both = {"valid": {"m": 2.0}}
    assert verdicts("a", both, {"b": {"valid": {"m": 1.0}, "test": {"m": 9.0}}}, {"m": 1})[0].startswith(
        "a beats b on valid"
    )
    assert verdicts("a", {}, {"b": {}}, {"m": 1}) == []


def test_the_batch_size_moves_no_figure(clubs: Dataset, trained: Path, result: dict[str, Any]) -> None:
    """Sums are taken over whole splits in float64; the products of a model may differ in their last bits."""
    other = evaluate(clubs, trained, EvaluateSpec(k=(2, 8), batch_size=13), device=CPU)
    assert other["retriever"] == result["retriever"]
    for split in ("valid", "test"):
        for name, value in result["ranker"][split].items():
            if not isinstance(value, dict):
                assert other["ranker"][split][name] == pytest.approx(value, abs=1e-7), name


def test_a_retriever_alone_and_a_ranker_alone(clubs: Dataset, trained: Path, tmp_path: Path) -> None:
    for side, other in (("ranker", "retriever"), ("retriever", "ranker")):
        place = tmp_path / side
        place.mkdir()
        (place / side).symlink_to(trained / side)
        found = evaluate(clubs, place, SPEC, device=CPU)
        assert side in found
        assert other not in found
        assert set(found["protocol"]) == {side}


def test_no_model_is_told(clubs: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trained model"):
        evaluate(clubs, tmp_path, SPEC, device=CPU)


@pytest.mark.parametrize(
    ("side", "message"), [("ranker", "scores of the valid split"), ("retriever", "NaN or infinity")]
)
def test_weights_that_are_no_numbers_are_told(
    clubs: Dataset, trained: Path, tmp_path: Path, side: str, message: str
) -> None:
    (tmp_path / side).mkdir()
    for file in (trained / side).glob("*.json"):
        (tmp_path / side / file.name).write_bytes(file.read_bytes())
    weights = load_tensors(trained / side / "model.safetensors")
    spoiled = {
        name: torch.full_like(value, math.nan) if value.is_floating_point() else value
        for name, value in weights.items()
    }
    save_tensors(tmp_path / side / "model.safetensors", spoiled)
    with pytest.raises(UserError, match=message):
        evaluate(clubs, tmp_path, SPEC, device=CPU)


def test_popularity_is_not_compared_with_itself(clubs: Dataset, tmp_path: Path) -> None:
    spec = RetrieverSpec.model_validate({"model": {"kind": "popularity"}})
    train_retriever(clubs, spec, tmp_path / "retriever", seed=0, device=CPU)
    found = evaluate(clubs, tmp_path, SPEC, device=CPU)
    assert found["verdicts"] == []
    assert found["retriever"]["baselines"] == {}


def test_seen_items_stay_in_the_list_when_asked(clubs: Dataset, trained: Path, result: dict[str, Any]) -> None:
    found = evaluate(clubs, trained, EvaluateSpec(k=(2, 8), mask_seen=False), device=CPU)
    assert found["retriever"]["test"]["recall@2"] < result["retriever"]["test"]["recall@2"]
    assert any("mask_seen: false" in line for line in found["protocol"]["retriever"])


def test_one_class_leaves_figures_open(trained: Path, clubs: Dataset, tmp_path: Path) -> None:
    """A test split of one class has no AUC; it is None, and the verdict says that nothing can be said."""
    data = Dataset(Path(shutil.copytree(clubs.path, tmp_path / "data")))
    file = data.files("test")[0]
    pl.read_parquet(file).filter(pl.col(TARGET) > 0.5).write_parquet(file)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "ranker").symlink_to(trained / "ranker")
    found = evaluate(data, tmp_path / "train", SPEC, device=CPU)
    assert found["ranker"]["test"]["auc"] is found["ranker"]["test"]["gauc"] is None
    assert "ranker mlp cannot be compared with logistic on test: auc: one class alone" in found["verdicts"]
    json.dumps(found, allow_nan=False)
