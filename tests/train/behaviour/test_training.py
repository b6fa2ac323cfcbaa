"""Whole trainings of rankers that attend to histories end in the same bytes however they came there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.dataset import Dataset
from core.files import hash_tree
from tests.train.met import write_met
from tests.train.rank.test_history import CPU, SPEC, _Killed, dies_at
from train.models.behaviour.bst import BstSpec
from train.models.behaviour.dien import DienSpec
from train.models.behaviour.din import DinSpec
from train.models.rank.base import RankerModel
from train.ranker import load_ranker, train_ranker
from train.spec import RankerSpec

MODELS: dict[str, RankerModel] = {
    "din": DinSpec(embedding_dim=8, hidden=(16,)),
    "dien": DienSpec(embedding_dim=8, hidden=(16,), longest=6),
    "bst": BstSpec(embedding_dim=8, heads=2, hidden=(16,), longest=6),
}


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Read only."""
    return write_met(tmp_path_factory.mktemp("met") / "data")


def spec_of(kind: str) -> RankerSpec:
    return SPEC.model_copy(update={"model": MODELS[kind], "epochs": 2})


@pytest.mark.parametrize("kind", MODELS)
def test_a_killed_run_goes_on_to_the_same_bytes(
    met: Dataset, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What DIEN draws and what Dice has seen so far are part of a checkpoint.
    whole, killed, spec = tmp_path / "whole", tmp_path / "killed", spec_of(kind)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures = train_ranker(met, spec, whole, seed=1, device=CPU, baseline=False)
        dies_at(monkeypatch, 3)
        with pytest.raises(_Killed):
            train_ranker(
                met, spec.model_copy(update={"checkpoint_seconds": 0.0}), killed, seed=1, device=CPU, baseline=False
            )
        monkeypatch.undo()
        train_ranker(met, spec, killed, seed=1, device=CPU, baseline=False)
    finally:
        torch.set_num_threads(before)
    assert hash_tree(killed)["model.safetensors"] == hash_tree(whole)["model.safetensors"]
    assert figures["epochs"] == 2
    assert load_ranker(whole).features.history
