"""What valid has chosen is trained once more on train and valid; the two models judge a split each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import train.trainer
from core.dataset import SPLIT, SPLITS, TARGET, Dataset
from core.files import hash_tree
from tests.contract.retrievers import CPU, Killed
from train.evaluate import evaluate
from train.evaluation.refitted import REFIT
from train.evaluation.spec import EvaluateSpec
from train.histories import Histories
from train.models.rank.mlp import MlpSpec
from train.models.retrieve.base import Facts, Sizes
from train.models.retrieve.item_knn import ItemKnnSpec
from train.models.retrieve.mf import MfSpec
from train.pairs import read_interactions, read_tables
from train.ranker import load_ranker, train_ranker
from train.refit import CHOICE
from train.retriever import load_retriever
from train.retriever_training import train_retriever
from train.spec import OptimizerSpec, RankerSpec, RetrieverSpec

RANKER = RankerSpec(model=MlpSpec(embedding_dim=4, hidden=(8,)), epochs=3, batch_size=64, refit=True)
RATES = OptimizerSpec(rate=0.01, embedding_rate=0.1)
RETRIEVER = RetrieverSpec(
    model=MfSpec(embedding_dim=4), epochs=3, batch_size=64, monitor_k=5, optimizer=RATES, refit=True
)


@pytest.fixture(scope="module")
def trained(clubs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("refit")
    train_ranker(clubs, RANKER, out / "ranker", seed=0, device=CPU)
    train_retriever(clubs, RETRIEVER, out / "retriever", seed=0, device=CPU)
    return out


def _files(directory: Path) -> dict[str, str]:
    return {name: value for name, value in hash_tree(directory).items() if "events" not in name}


def _told(directory: Path, name: str = "model.json") -> dict[str, Any]:
    value: dict[str, Any] = json.loads((directory / name).read_text())
    return value


def _plain(side: str, dataset: Dataset, out: Path, **more: Any) -> Path:
    spec: Any = RANKER if side == "ranker" else RETRIEVER
    fit: Any = train_ranker if side == "ranker" else train_retriever
    fit(dataset, spec.model_copy(update={"refit": False, **more}), out, seed=0, device=CPU)
    return out


@pytest.mark.parametrize("side", ["ranker", "retriever"])
def test_the_choice_is_a_training_without_a_refit(clubs: Dataset, trained: Path, tmp_path: Path, side: str) -> None:
    alone = _files(_plain(side, clubs, tmp_path))
    assert _files(trained / side / CHOICE) == {
        name: value for name, value in alone.items() if not name.startswith("baseline/")
    }
    if side == "ranker":
        assert _files(trained / side / "baseline" / CHOICE) == {
            name.removeprefix("baseline/"): value for name, value in alone.items() if name.startswith("baseline/")
        }


@pytest.mark.parametrize("side", ["ranker", "retriever"])
def test_it_is_trained_for_as_many_epochs_as_were_best(trained: Path, side: str) -> None:
    choice, again = _told(trained / side / CHOICE), _told(trained / side)
    assert again["refit"]["epochs"] == choice["best_epoch"] == len(again["refit"]["train_loss"])
    curves = _told(trained / side, "history.json")
    assert curves["epochs"] == _told(trained / side / CHOICE, "history.json")["epochs"]
    assert curves["refit"] == again["refit"]
    if side == "retriever":
        assert again["pairs"] > choice["pairs"]


def _changed(clubs: Dataset, place: Path, split: str) -> Dataset:
    """The data set with other labels in one split."""
    shutil.copytree(clubs.path, place)
    dataset = Dataset(place)
    other = (1.0 - pl.col(TARGET)).cast(pl.Float32)
    there = pl.when(pl.col(SPLIT) == SPLITS.index(split)).then(other).otherwise(TARGET)
    file = dataset.files(split)[0]
    for path, value in ((dataset.interactions_file, there), (file, other)):
        frame = pl.read_parquet(path)
        frame.with_columns(value.alias(TARGET)).write_parquet(path)
    return dataset


@pytest.mark.parametrize("side", ["ranker", "retriever"])
def test_it_learns_from_valid_and_never_from_test(clubs: Dataset, trained: Path, tmp_path: Path, side: str) -> None:
    load: Any = load_ranker if side == "ranker" else load_retriever
    before = load(trained / side).module.state_dict()
    for split in ("valid", "test"):
        dataset = _changed(clubs, tmp_path / split, split)
        out = _plain(side, dataset, tmp_path / f"{split}-out", refit=True)
        after = load(out).module.state_dict()
        same = all(torch.equal(value, after[name]) for name, value in before.items())
        assert same == (split == "test")


def test_each_split_is_judged_by_a_model_that_has_not_seen_it(clubs: Dataset, trained: Path, tmp_path: Path) -> None:
    spec = EvaluateSpec(k=(5,))
    for side in ("ranker", "retriever"):
        _plain(side, clubs, tmp_path / side)
    both, plain = (evaluate(clubs, place, spec, device=CPU) for place in (trained, tmp_path))
    for side in ("ranker", "retriever"):
        assert both[side]["valid"] == plain[side]["valid"]
        assert both[side]["test"] != plain[side]["test"]
        rival = "logistic" if side == "ranker" else "popularity"
        assert both[side]["baselines"][rival]["valid"] == plain[side]["baselines"][rival]["valid"]
        assert both[side]["baselines"][rival]["test"] != plain[side]["baselines"][rival]["test"]
        assert both[side]["refit"]["epochs"] > 0
        assert REFIT in both["protocol"][side]
        assert REFIT not in plain["protocol"][side]
    assert len(both["verdicts"]) == len(plain["verdicts"])
    newcomers = plain["retriever"]["test"]["users_cold"], both["retriever"]["test"]["users_cold"]
    assert newcomers[0] > newcomers[1] == 0, "they have positives in valid"


def test_killed_in_the_refit_it_ends_the_same(
    clubs: Dataset, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RETRIEVER.model_copy(update={"checkpoint_seconds": 0.0})
    choice = _told(trained / "retriever" / CHOICE)
    steps = choice["epochs"] * -(-choice["pairs"] // 64) + 2
    step, calls = train.trainer.Mover.step, iter([None] * steps)

    def killed(self: Any, number: int) -> None:
        if next(calls, "now") == "now":
            raise Killed
        step(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(train.trainer.Mover, "step", killed)
        with pytest.raises(Killed):
            train_retriever(clubs, spec, tmp_path, seed=0, device=CPU)
    assert (tmp_path / CHOICE / "model.json").exists()
    assert not (tmp_path / "model.json").exists()
    train_retriever(clubs, spec, tmp_path, seed=0, device=CPU)
    assert torch.equal(*(load_retriever(out).towers.item.table.weight for out in (tmp_path, trained / "retriever")))


def test_of_several_seeds_each_is_refitted(clubs: Dataset, trained: Path, tmp_path: Path) -> None:
    spec = RETRIEVER.model_copy(update={"seeds": (0, 1)})
    train_retriever(clubs, spec, tmp_path / "retriever", seed=7, device=CPU)
    assert _files(tmp_path / "retriever" / "seed-0") == _files(trained / "retriever")
    best = _told(tmp_path / "retriever", "seeds.json")["best"]
    front = _told(tmp_path / "retriever" / CHOICE)
    assert front == _told(tmp_path / "retriever" / f"seed-{best}" / CHOICE)
    metrics = evaluate(clubs, tmp_path, EvaluateSpec(k=(5,)), device=CPU)["retriever"]
    assert set(metrics["seeds"]["mean"]) == {"valid", "test"}
    assert metrics["seeds"]["each"][str(best)]["test"]["recall@5"] == metrics["test"]["recall@5"]


def test_what_is_counted_is_counted_from_both(clubs: Dataset, tmp_path: Path) -> None:
    model = ItemKnnSpec(neighbours=5)
    train_retriever(clubs, RetrieverSpec(model=model, refit=True), tmp_path, seed=0, device=CPU)
    joined = read_interactions(clubs).joined()
    retriever = load_retriever(tmp_path)
    sizes = Sizes(retriever.user_features, retriever.item_features, joined.users, joined.items)
    tables, histories = read_tables(clubs, sizes.user, sizes.item), Histories.of(joined)
    wanted = model.build(sizes)
    model.fill(wanted, Facts(joined.pairs("train"), histories.until("valid"), tables))
    found = retriever.module.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in wanted.state_dict().items())
    assert any(
        not torch.equal(value, found[name])
        for name, value in load_retriever(tmp_path / CHOICE).module.state_dict().items()
    )


def test_without_a_refit_its_files_go(clubs: Dataset, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "retriever", tmp_path / "retriever")
    _plain("retriever", clubs, tmp_path / "retriever")
    assert not (tmp_path / "retriever" / CHOICE).exists()
    assert "refit" not in _told(tmp_path / "retriever")
