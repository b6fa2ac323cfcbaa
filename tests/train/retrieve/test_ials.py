"""iALS solves its normal equations, and goes downhill."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.train.retrieve.planted import NONE, asked, filled, histories_of, met
from train.batch import Batch
from train.jagged import Jagged
from train.linear_algebra import normal_equations
from train.linear_algebra.normal_equations import Penalty, factors
from train.models.retrieve.ials import IalsSpec
from train.pairs import ENTITY

PENALTY = Penalty(unobserved=0.2, l2=0.05, exponent=0.7)


def lists_of(met_RC: Tensor) -> Jagged:
    """What each row met."""
    return Jagged.of([row.nonzero().flatten().tolist() for row in met_RC])


def loss(met_UI: Tensor, user_UV: Tensor, item_IV: Tensor) -> Tensor:
    """What iALS minimises, as its paper writes it."""
    score_UI, (users, items) = user_UV @ item_IV.T, met_UI.shape
    user_U = (met_UI.sum(dim=1) + 0.2 * items) ** 0.7
    item_I = (met_UI.sum(dim=0) + 0.2 * users) ** 0.7
    fit = (met_UI * (score_UI - 1).square()).sum() + 0.2 * score_UI.square().sum()
    return fit + 0.05 * ((user_U * user_UV.square().sum(1)).sum() + (item_I * item_IV.square().sum(1)).sum())


@pytest.mark.parametrize("budget", [1, 1 << 10, 1 << 22])
def test_a_half_sweep_leaves_no_gradient(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normal_equations, "BUDGET", budget)
    met_UI = met(40, 25, 0.3)
    met_UI[3] = False
    item_IV = torch.randn(25, 6, generator=torch.Generator().manual_seed(0))
    user_UV = factors(lists_of(met_UI), item_IV, PENALTY)
    assert user_UV.dtype == torch.float32
    assert user_UV[3].tolist() == [0.0] * 6
    leaf_UV = user_UV.double().requires_grad_()
    loss(met_UI, leaf_UV, item_IV.double()).backward()
    fresh_UV = torch.zeros(40, 6, dtype=torch.float64, requires_grad=True)
    loss(met_UI, fresh_UV, item_IV.double()).backward()
    assert leaf_UV.grad.norm() < 1e-5 * fresh_UV.grad.norm()


def test_each_sweep_goes_downhill() -> None:
    met_UI, losses = met(40, 25, 0.3), []
    for sweeps in (1, 2, 4, 8):
        towers = filled(IalsSpec(embedding_dim=8, sweeps=sweeps, unobserved=0.2, l2=0.05, exponent=0.7), met_UI)
        user_UV = towers.query(histories_of(met_UI))
        losses.append(float(loss(met_UI, user_UV, towers.item.vector_IV)))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.98 * losses[0]


def test_a_query_is_folded_in_from_what_was_met() -> None:
    met_UI = met(40, 25, 0.3)
    towers = filled(IalsSpec(embedding_dim=8), met_UI)
    spec = IalsSpec(embedding_dim=8)
    expected_UV = factors(lists_of(met_UI), towers.item.vector_IV, spec.penalty)
    assert torch.equal(towers.query(histories_of(met_UI)), expected_UV)
    assert torch.equal(towers.query(asked([3, 1, 3])), towers.query(asked([1, 3])))
    assert towers.query(asked([])).tolist() == [[0.0] * 8]


def test_what_was_met_scores_higher() -> None:
    met_UI = met(60, 25, 0.3)
    towers = filled(IalsSpec(embedding_dim=24, unobserved=0.05), met_UI)
    item_IV = towers.item(replace(Batch.zeros(NONE, 25), extra={ENTITY: torch.arange(25)}))
    score_UI = towers.query(histories_of(met_UI)) @ item_IV.T
    assert score_UI[met_UI].mean() > 0.8
    assert score_UI[~met_UI].mean() < 0.2


def test_what_comes_again_counts_once() -> None:
    met_UI, model = met(30, 20, 0.3), IalsSpec(embedding_dim=8)
    once, twice = filled(model, met_UI), filled(model, met_UI, again=50)
    assert torch.equal(once.item.vector_IV, twice.item.vector_IV)


def test_loaded_weights_serve_both_sides_and_lie_in_one_place() -> None:
    met_UI, model = met(30, 20, 0.3), IalsSpec(embedding_dim=8)
    towers, other = filled(model, met_UI), filled(model, met(30, 20, 0.3, seed=1))
    assert sorted(towers.state_dict()) == ["item.vector_IV"]
    other.load_state_dict(towers.state_dict())
    assert torch.equal(other.query(histories_of(met_UI)), towers.query(histories_of(met_UI)))


@pytest.mark.parametrize("change", [{"l2": 0.1}, {"unobserved": 0.5}, {"exponent": 0.0}, {"sweeps": 2}])
def test_every_setting_moves_the_vectors(change: dict[str, float]) -> None:
    met_UI = met(30, 20, 0.3)
    one, other = filled(IalsSpec(embedding_dim=8), met_UI), filled(IalsSpec(embedding_dim=8, **change), met_UI)
    assert not torch.allclose(one.item.vector_IV, other.item.vector_IV)
