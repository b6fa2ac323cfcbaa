"""Candidate generation, metrics and evaluation on a CUDA device: the same code, compared with the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from core.dataset import Dataset
from tests.train.clubs import write_clubs
from train.evaluate import evaluate
from train.evaluation.holdout import Holdout
from train.evaluation.ranking import top_k
from train.evaluation.spec import EvaluateSpec
from train.item_sets import ItemSets
from train.metrics import classification as metric
from train.metrics.sums import total
from train.pairs import read_interactions, read_tables, take
from train.retriever import load_retriever
from train.retriever_training import train_retriever
from train.spec import RetrieverSpec

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SPEC = RetrieverSpec.model_validate(
    {
        "model": {"kind": "two_tower", "embedding_dim": 8, "uniform_negatives": 16},
        "optimizer": {"rate": 0.01, "embedding_rate": 0.2},
        "batch_size": 64,
        "epochs": 25,
        "patience": 25,
        "monitor_k": 5,
    }
)


@pytest.fixture(scope="module")
def clubs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Users who like the items of their own club alone."""
    return write_clubs(Path(tmp_path_factory.mktemp("clubs")) / "data")


@pytest.mark.parametrize("width", [8, 64, 200])
def test_ranking_is_the_cpus_to_the_last_tie(width: int) -> None:
    generator = torch.Generator().manual_seed(width)
    query = torch.randn(300, width, generator=generator)
    item = torch.randn(700, width, generator=generator).repeat(3, 1)  # each score comes three times
    seen = ItemSets.of(
        torch.randint(300, (5000,), generator=generator),
        torch.randint(2100, (5000,), generator=generator),
        users=300,
        items=2100,
    )
    on_cuda = ItemSets(seen.start_U.to(CUDA), seen.item_P.to(CUDA), seen.items)
    best, score = top_k(query, item, k=50, user_B=torch.arange(300), masked=seen)
    found, found_score = top_k(
        query.to(CUDA), item.to(CUDA), k=50, user_B=torch.arange(300, device=CUDA), masked=on_cuda, block=77
    )
    assert torch.equal(found.cpu(), best)
    assert torch.equal(found_score.cpu(), score)


def test_classification_metrics_are_the_cpus() -> None:
    generator = torch.Generator().manual_seed(0)
    logit = (torch.randn(100_000, generator=generator) * 16).round() / 8
    target = (torch.rand(100_000, generator=generator) < torch.sigmoid(logit)).float()
    user = torch.randint(3000, (100_000,), generator=generator)
    assert metric.auc(logit.to(CUDA), target.to(CUDA)) == metric.auc(logit, target)
    found = metric.grouped_auc(logit.to(CUDA), target.to(CUDA), user.to(CUDA))
    expected = metric.grouped_auc(logit, target, user)
    assert (found.groups, found.left_out, found.rows) == (expected.groups, expected.left_out, expected.rows)
    assert found.value == pytest.approx(expected.value, abs=1e-13)
    assert metric.logloss(logit.to(CUDA), target.to(CUDA)) == pytest.approx(metric.logloss(logit, target), abs=1e-13)
    assert total(logit.to(CUDA)) == pytest.approx(total(logit), abs=1e-9)


def test_two_tower_learns_and_is_the_same_twice(clubs: Dataset, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train_retriever(clubs, SPEC, tmp_path / name, seed=0, device=CUDA)
    for name in ("history.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    retriever = load_retriever(tmp_path / "a")
    tables = read_tables(clubs, retriever.user_features, retriever.item_features)
    holdout = Holdout.of(read_interactions(clubs), "test")
    scorer = retriever.scorer(take(tables.user, holdout.user_Q), tables.item)
    figures = holdout.figures(scorer, ks=[2])
    assert figures["warm"]["recall@2"] > 0.95


def test_evaluation_is_the_cpus(clubs: Dataset, tmp_path: Path) -> None:
    train_retriever(clubs, SPEC, tmp_path / "retriever", seed=0, device=CUDA)
    found, expected = (evaluate(clubs, tmp_path, EvaluateSpec(k=(2, 8)), device=device) for device in (CUDA, CPU))
    json.dumps(found, allow_nan=False)
    for split in ("valid", "test"):
        assert (
            found["retriever"]["baselines"]["popularity"][split]
            == expected["retriever"]["baselines"]["popularity"][split]
        )
        for name, value in expected["retriever"][split].items():
            if isinstance(value, float):
                assert found["retriever"][split][name] == pytest.approx(value, abs=1e-3), name
