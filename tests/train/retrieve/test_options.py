"""Options of trained generators: bfloat16 steps, and a cheaper choice of the epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from core.dataset import Dataset
from core.files import hash_tree
from train.evaluation.holdout import Holdout
from train.models.next_item.bert4rec import Bert4RecSpec
from train.models.next_item.caser import CaserSpec
from train.models.next_item.gru4rec import Gru4RecSpec
from train.models.next_item.sasrec import SasRecSpec
from train.models.retrieve.mf import MfSpec
from train.models.retrieve.mult_vae import MultVaeSpec
from train.models.retrieve.two_tower import TwoTowerSpec
from train.pairs import read_interactions
from train.retriever import load_retriever
from train.retriever_training import train_retriever
from train.spec import OptimizerSpec, RetrieverSpec

CPU = torch.device("cpu")
DENSE = [
    TwoTowerSpec(embedding_dim=8, hidden=(16,)),
    MultVaeSpec(hidden=16, latent=8, dropout=0.0),
    SasRecSpec(embedding_dim=16, longest=6),
    Gru4RecSpec(embedding_dim=16, longest=6, negatives=8),
    Bert4RecSpec(embedding_dim=16, longest=6),
    CaserSpec(embedding_dim=16, window=3),
]


def _spec(model: Any, **more: Any) -> RetrieverSpec:
    optimizer = OptimizerSpec(rate=0.01, embedding_rate=0.1)
    settings = {"model": model, "epochs": 3, "batch_size": 64, "optimizer": optimizer, "monitor_k": 5, "patience": 5}
    return RetrieverSpec(**{**settings, **more})


def _fit(clubs: Dataset, out: Path, spec: RetrieverSpec) -> list[dict[str, Any]]:
    train_retriever(clubs, spec, out, seed=0, device=CPU)
    epochs: list[dict[str, Any]] = json.loads((out / "history.json").read_text())["epochs"]
    return epochs


@pytest.mark.parametrize("model", DENSE, ids=lambda model: model.kind)
def test_bfloat16_stays_near_float32(clubs: Dataset, tmp_path: Path, model: Any) -> None:
    rounded = _fit(clubs, tmp_path / "rounded", _spec(model, precision="bfloat16"))
    exact = _fit(clubs, tmp_path / "exact", _spec(model))
    for ours, theirs in zip(rounded, exact, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.02)
    states = [load_retriever(tmp_path / name).module.state_dict() for name in ("rounded", "exact")]
    assert any(not torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert {value.dtype for value in states[0].values()} <= {torch.float32, torch.int64}


def test_bfloat16_ends_the_same_each_time(clubs: Dataset, tmp_path: Path) -> None:
    for name in ("one", "two"):
        _fit(clubs, tmp_path / name, _spec(DENSE[2], precision="bfloat16"))
    hashes = [hash_tree(tmp_path / name)["model.safetensors"] for name in ("one", "two")]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("model", [MfSpec(), TwoTowerSpec()])
def test_bfloat16_is_refused_where_it_would_change_nothing(model: Any) -> None:
    with pytest.raises(ValidationError, match="has no dense layers here"):
        _spec(model, precision="bfloat16")


def test_epochs_between_validations_have_no_figures(clubs: Dataset, tmp_path: Path) -> None:
    model = MfSpec(embedding_dim=4)
    every = _fit(clubs, tmp_path / "every", _spec(model, epochs=5))
    some = _fit(clubs, tmp_path / "some", _spec(model, epochs=5, validate_every=2))
    assert [bool(one["valid"]) for one in some] == [False, True, False, True, True]
    assert [one["train_loss"] for one in some] == [one["train_loss"] for one in every]
    assert all(ours["valid"] in ({}, theirs["valid"]) for ours, theirs in zip(some, every, strict=True))
    best = json.loads((tmp_path / "some" / "history.json").read_text())["best_epoch"]
    assert some[best - 1]["valid"]["recall@5"] == max(one["valid"]["recall@5"] for one in some if one["valid"])


def test_training_stops_at_validations_alone(clubs: Dataset, tmp_path: Path) -> None:
    # With rates of nearly nothing no epoch is better than the first that is looked at.
    slow = OptimizerSpec(rate=1e-30, embedding_rate=1e-30)
    epochs = _fit(clubs, tmp_path, _spec(MfSpec(), epochs=9, patience=1, validate_every=3, optimizer=slow))
    assert len(epochs) == 6


def test_a_sample_of_users_chooses_the_epoch(clubs: Dataset, tmp_path: Path) -> None:
    holdout = Holdout.of(read_interactions(clubs), "valid")
    some = holdout.some(7)
    assert len(some.user_Q) == 7
    assert set(some.user_Q.tolist()) < set(holdout.user_Q.tolist())
    assert torch.equal(some.user_Q, holdout.some(7).user_Q)
    assert torch.equal(holdout.some(10**6).user_Q, holdout.user_Q)
    model = MfSpec(embedding_dim=4)
    every, few = (_fit(clubs, tmp_path / f"{n}", _spec(model, validate_users=n)) for n in (None, 7))
    assert [one["train_loss"] for one in few] == [one["train_loss"] for one in every]
    assert [one["valid"] for one in few] != [one["valid"] for one in every]


LOSSES = ["bpr", "bce", "gbce", "sampled_softmax"]
SAMPLERS: list[dict[str, Any] | None] = [
    None,
    {"kind": "uniform", "count": 8},
    {"kind": "popularity", "count": 8},
    {"kind": "mixed", "count": 16},
]


WAYS = [*((loss, SAMPLERS[1]) for loss in LOSSES), *((None, one) for one in SAMPLERS[1:]), ("bpr", None)]


@pytest.mark.parametrize(("loss", "negatives"), WAYS)
def test_two_towers_learn_by_any_loss_and_negatives(clubs: Dataset, tmp_path: Path, loss: Any, negatives: Any) -> None:
    model = TwoTowerSpec.model_validate({"embedding_dim": 8, "loss": loss, "negatives": negatives})
    optimizer = OptimizerSpec(rate=0.01, embedding_rate=0.3)
    epochs = _fit(clubs, tmp_path, _spec(model, epochs=12, patience=12, optimizer=optimizer))
    # By chance 5 of 34 items that a member has not seen hold 15 % of the two wanted ones.
    assert max(one["valid"]["recall@5"] for one in epochs) > 0.6


@pytest.mark.parametrize("loss", LOSSES)
def test_next_items_are_learned_by_any_loss(clubs: Dataset, tmp_path: Path, loss: str) -> None:
    model = Gru4RecSpec.model_validate(
        {"embedding_dim": 16, "longest": 6, "dropout": 0.0, "negatives": 8, "loss": loss}
    )
    epochs = _fit(
        clubs, tmp_path, _spec(model, epochs=14, patience=14, batch_size=8, optimizer=OptimizerSpec(rate=0.03))
    )
    # Twice what chance would find. With few negatives gbce asks for small probabilities, and learns more slowly.
    assert max(one["valid"]["recall@5"] for one in epochs) > (0.3 if loss == "gbce" else 0.5)
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]


def test_losses_that_compare_with_drawn_items_need_some() -> None:
    with pytest.raises(ValidationError, match="none are drawn; set negatives"):
        SasRecSpec(loss={"kind": "bce"})
    with pytest.raises(ValidationError, match=r"negatives: \{kind: mixed, count: 3\}"):
        TwoTowerSpec(loss={"kind": "bpr"}, uniform_negatives=3)
