"""Training in bfloat16 and through torch.compile: close to float32 as it stands, and only the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.errors import UserError
from core.files import hash_tree
from tests.contract.rankers import FEATURES, features_for, fresh, rows
from tests.train.synthetic import Planted
from train.batch import Features
from train.fast_forward import fast_forward
from train.layers.embedding import FusedEmbedding
from train.losses.pointwise import binary_cross_entropy
from train.models import RANKERS
from train.models.rank.dlrm import DlrmSpec
from train.models.rank.mlp import MlpSpec
from train.ranker import _train, load_ranker
from train.spec import AverageSpec, OptimizerSpec, RankerSpec

CPU = torch.device("cpu")
SPEC = RankerSpec(
    model=DlrmSpec(embedding_dim=8, bottom=(16,), top=(32,)),
    epochs=3,
    batch_size=128,
    optimizer=OptimizerSpec(rate=0.005, embedding_rate=0.05),
)


def _fit(planted: Planted, out: Path, spec: RankerSpec, seed: int = 1) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    figures = _train(planted.dataset, Features.of(planted.dataset.schema()), spec, out, seed=seed, device=CPU)
    return figures, json.loads((out / "history.json").read_text())["epochs"]


def test_bfloat16_stays_near_float32(planted: Planted, tmp_path: Path) -> None:
    """One training may leave the path of the other for a while; the mean over seeds shows whether anything is lost."""
    gaps, spec = [], SPEC.model_copy(update={"precision": "bfloat16"})
    for seed in (1, 2, 3):
        _, rounded = _fit(planted, tmp_path / f"rounded-{seed}", spec, seed)
        _, exact = _fit(planted, tmp_path / f"exact-{seed}", SPEC, seed)
        for ours, theirs in zip(rounded, exact, strict=True):
            assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.02)
        gaps.append(rounded[-1]["valid"]["auc"] - exact[-1]["valid"]["auc"])
    assert max(abs(gap) for gap in gaps) < 0.02
    assert abs(sum(gaps) / len(gaps)) < 0.005


def test_bfloat16_is_of_the_steps_alone(planted: Planted, tmp_path: Path) -> None:
    one = SPEC.model_copy(update={"epochs": 1})
    figures, _ = _fit(planted, tmp_path / "rounded", one.model_copy(update={"precision": "bfloat16"}))
    _fit(planted, tmp_path / "exact", one)
    assert figures["arithmetic"].endswith(", bfloat16")
    assert hash_tree(tmp_path / "rounded")["model.safetensors"] != hash_tree(tmp_path / "exact")["model.safetensors"]
    assert all(weight.dtype == torch.float32 for weight in load_ranker(tmp_path / "rounded").module.parameters())


def test_two_trainings_in_bfloat16_give_the_same_bytes(planted: Planted, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"precision": "bfloat16", "epochs": 1, "average": AverageSpec()})
    for name in ("a", "b"):
        _fit(planted, tmp_path / name, spec)
    assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "b")


@pytest.mark.parametrize("kind", sorted(RANKERS))
def test_bfloat16_gives_float32_logits_and_gradients(kind: str) -> None:
    module, batch = fresh(RANKERS[kind](), features_for(kind)), rows(32)
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    expected = module(batch)
    with fast_forward(module, bfloat16=True, compiled=False, device=CPU, where="here") as forward:
        logit_B = forward(batch)
        binary_cross_entropy(logit_B, batch.target_B).backward()
    assert logit_B.dtype == torch.float32
    torch.testing.assert_close(logit_B, expected, rtol=0.05, atol=0.02)
    assert all(weight.grad.dtype == torch.float32 for weight in module.parameters() if weight.grad is not None)


def test_as_it_stands_not_a_bit_changes() -> None:
    module, batch = fresh(RANKERS["dcn_v2"](), FEATURES), rows(32)
    with fast_forward(module, bfloat16=False, compiled=False, device=CPU, where="here") as forward:
        assert torch.equal(forward(batch), module(batch))


@pytest.mark.slow
def test_compiled_is_eager(planted: Planted, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"model": MlpSpec(embedding_dim=4, hidden=(8,)), "epochs": 2})
    figures, compiled = _fit(planted, tmp_path / "compiled", spec.model_copy(update={"compile": True}))
    _, eager = _fit(planted, tmp_path / "eager", spec)
    for ours, theirs in zip(compiled, eager, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
        assert ours["valid"]["auc"] == pytest.approx(theirs["valid"]["auc"], abs=1e-3)
    assert figures["arithmetic"].endswith(", compiled")
    assert compiled[-1]["train_loss"] < compiled[0]["train_loss"]


def test_tables_are_as_before_after_the_block() -> None:
    module = fresh(MlpSpec(embedding_dim=4, hidden=(8,)), FEATURES)
    tables = [part for part in module.modules() if isinstance(part, FusedEmbedding)]
    with fast_forward(module, bfloat16=False, compiled=True, device=CPU, where="here"):
        assert all("forward" in table.__dict__ for table in tables)
    assert not any("forward" in table.__dict__ or "of" in table.__dict__ for table in tables)


def test_without_a_compiler_it_says_so_at_once(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    told = "train.ranker.compile: compile: true needs a C.. compiler, and there is no no-such-compiler"
    with pytest.raises(UserError, match=told):
        _fit(planted, tmp_path / "out", SPEC.model_copy(update={"compile": True}))
    assert not (tmp_path / "out").exists()
