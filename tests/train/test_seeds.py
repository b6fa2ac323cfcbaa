"""One config from several seeds: each training whole, the best in front, and figures over all of them."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from core.dataset import Dataset
from core.files import hash_tree
from pipeline.summary import _figures
from train import seeds as seeds_module
from train.evaluate import evaluate
from train.evaluation.seeds import over, sample_deviation
from train.evaluation.spec import EvaluateSpec
from train.models.rank.mlp import MlpSpec
from train.models.retrieve.popularity import PopularitySpec
from train.models.retrieve.two_tower import TwoTowerSpec
from train.ranker import load_ranker, train_ranker
from train.retriever import load_retriever
from train.retriever_training import train_retriever
from train.seeds import train_each, trained_seeds
from train.spec import RankerSpec, RetrieverSpec

CPU = torch.device("cpu")
RANKER = RankerSpec(model=MlpSpec(embedding_dim=4, hidden=(8,)), epochs=1, batch_size=64, seeds=(3, 1, 2))
RETRIEVER = RetrieverSpec(model=TwoTowerSpec(embedding_dim=4), epochs=2, batch_size=64, monitor_k=5, seeds=(4, 5))
EVALUATE = EvaluateSpec(k=(5,))


@pytest.fixture(scope="module")
def trained(clubs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("seeds")
    train_ranker(clubs, RANKER, out / "ranker", seed=0, device=CPU)
    train_retriever(clubs, RETRIEVER, out / "retriever", seed=0, device=CPU)
    return out


@pytest.fixture(scope="module")
def metrics(clubs: Dataset, trained: Path) -> dict[str, Any]:
    return evaluate(clubs, trained, EVALUATE, device=CPU)


def test_each_seed_is_the_training_from_that_seed(clubs: Dataset, trained: Path, tmp_path: Path) -> None:
    train_ranker(clubs, RANKER.model_copy(update={"seeds": ()}), tmp_path, seed=2, device=CPU)
    alone = {name: value for name, value in hash_tree(tmp_path).items() if not name.startswith("baseline/")}
    assert hash_tree(trained / "ranker" / "seed-2") == alone


@pytest.mark.parametrize(("side", "key", "seeds"), [("ranker", "auc", [3, 1, 2]), ("retriever", "recall@5", [4, 5])])
def test_the_best_on_valid_lies_in_front(trained: Path, side: str, key: str, seeds: list[int]) -> None:
    reached = {}
    for seed in seeds:
        history = json.loads((trained / side / f"seed-{seed}" / "history.json").read_text())
        reached[seed] = max(entry["valid"][key] for entry in history["epochs"])
    best = max(seeds, key=lambda seed: reached[seed])
    hashes = hash_tree(trained / side)
    for name in ("model.safetensors", "model.json", "history.json"):
        assert hashes[name] == hashes[f"seed-{best}/{name}"]
    assert trained_seeds(trained / side)[0] == best
    assert sorted(trained_seeds(trained / side)) == sorted(seeds)
    told = json.loads((trained / side / "seeds.json").read_text())["seeds"]
    assert {int(seed): one["value"] for seed, one in told.items()} == reached


def test_the_best_loads_as_any_model(trained: Path) -> None:
    assert load_ranker(trained / "ranker").spec == RANKER.model_copy(update={"seeds": ()})
    assert load_retriever(trained / "retriever").items > 0


@pytest.mark.parametrize(("side", "key"), [("ranker", "auc"), ("retriever", "recall@5")])
def test_metrics_hold_each_seed_their_mean_and_deviation(metrics: dict[str, Any], side: str, key: str) -> None:
    held = metrics[side]["seeds"]
    for split in ("valid", "test"):
        each = [one[split][key] for one in held["each"].values()]
        assert held["mean"][split][key] == pytest.approx(statistics.fmean(each))
        assert held["deviation"][split][key] == pytest.approx(statistics.stdev(each))
        assert metrics[side][split][key] == held["each"][str(held["best"])][split][key]
    assert (
        len({one["test"][key] for one in metrics["ranker"]["seeds"]["each"].values()} if side == "ranker" else [1, 2])
        > 1
    )


def test_the_summary_tells_mean_and_deviation(metrics: dict[str, Any]) -> None:
    rows = dict(_figures(metrics["retriever"], "retriever"))
    assert list(rows) == ["two_tower", "  mean of 2 seeds", "  their deviation", "popularity (baseline)"]
    assert rows["  mean of 2 seeds"] == metrics["retriever"]["seeds"]["mean"]["test"]


def test_a_model_of_one_training_has_no_figures_by_seed(clubs: Dataset, tmp_path: Path) -> None:
    train_retriever(clubs, RetrieverSpec(model=PopularitySpec()), tmp_path / "retriever", seed=0, device=CPU)
    assert "seeds" not in evaluate(clubs, tmp_path, EVALUATE, device=CPU)["retriever"]


def test_a_finished_training_is_not_repeated(clubs: Dataset, trained: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("model.*")}
    figures = train_ranker(clubs, RANKER, trained / "ranker", seed=0, device=CPU)
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("model.*")} == before
    assert list(figures["seeds"]) == ["3", "1", "2"]


def test_a_killed_training_goes_on_with_the_seed_it_was_at(clubs: Dataset, trained: Path, tmp_path: Path) -> None:
    done: list[int] = []

    def dying(seed: int, directory: Path) -> dict[str, Any]:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(seed)
        return train_retriever(clubs, RETRIEVER.model_copy(update={"seeds": ()}), directory, seed=seed, device=CPU)

    with pytest.raises(KeyboardInterrupt):
        train_each((4, 5), dying, tmp_path, seed=0, larger_is_better=True)
    assert done == [4]
    assert not (tmp_path / "model.json").exists()
    stamp = (tmp_path / "seed-4" / "model.safetensors").stat().st_mtime_ns
    train_retriever(clubs, RETRIEVER, tmp_path, seed=0, device=CPU)
    assert (tmp_path / "seed-4" / "model.safetensors").stat().st_mtime_ns == stamp
    assert hash_tree(tmp_path) == hash_tree(trained / "retriever")


def _pretend(values: dict[int, float]) -> seeds_module.TrainOne:
    def one(seed: int, directory: Path) -> dict[str, Any]:
        directory.mkdir(parents=True, exist_ok=True)
        epochs = [{"epoch": 1, "valid": {"logloss": values[seed]}}]
        history = {"best_epoch": 1, "monitor": "logloss", "epochs": epochs}
        (directory / "history.json").write_text(json.dumps(history))
        for name in ("model.json", "model.safetensors"):
            (directory / name).write_text(str(seed))
        return {"seed": seed}

    return one


def test_smaller_can_be_better_and_the_first_of_equals_wins(tmp_path: Path) -> None:
    values = {7: 0.5, 8: 0.4, 9: 0.4}
    assert train_each((7, 8, 9), _pretend(values), tmp_path, seed=0, larger_is_better=False)["seed"] == 8
    assert train_each((7, 8, 9), _pretend(values), tmp_path, seed=0, larger_is_better=True)["seed"] == 7
    assert (tmp_path / "model.safetensors").read_text() == "7"


def test_seeds_that_are_gone_from_the_config_are_gone_from_the_directory(tmp_path: Path) -> None:
    train_each((7, 8), _pretend({7: 0.5, 8: 0.4}), tmp_path, seed=0, larger_is_better=True)
    train_each((8,), _pretend({8: 0.4}), tmp_path, seed=0, larger_is_better=True)
    assert [path.name for path in sorted(tmp_path.glob("seed-*"))] == ["seed-8"]
    train_each((), _pretend({1: 0.4}), tmp_path, seed=1, larger_is_better=True)
    assert sorted(hash_tree(tmp_path)) == ["history.json", "model.json", "model.safetensors"]
    assert (tmp_path / "model.json").read_text() == "1"


def test_figures_that_only_some_have_are_left_out() -> None:
    some = [{"a": 1.0, "b": {"c": 2}, "name": "x"}, {"a": 3.0, "b": {"c": 4, "d": 1.0}, "name": "x"}]
    assert over(statistics.fmean, some) == {"a": 2.0, "b": {"c": 3.0}}
    assert math.isnan(over(statistics.fmean, [{"a": math.nan}, {"a": 1.0}])["a"])
    assert math.isnan(sample_deviation([1.0]))


def test_the_same_seed_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="the seed 2 stands there twice"):
        RankerSpec(model=MlpSpec(), seeds=(2, 1, 2))
