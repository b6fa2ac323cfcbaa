"""Losses of single rows against their closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from train.losses.pointwise import BceSpec, FocalSpec, PointwiseLoss, binary_cross_entropy, smoothed
from train.models.rank.logistic import LogisticSpec
from train.spec import RankerSpec

LOGITS = torch.tensor([-3.0, -0.4, 0.0, 0.7, 5.0])
TARGETS = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0])
logits = st.floats(-20.0, 20.0, width=32)


def _probability(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit))


@given(logit=logits, target=st.sampled_from([0.0, 1.0]), weight=st.floats(0.1, 50.0), smoothing=st.floats(0.0, 0.5))
def test_bce_is_its_formula(logit: float, target: float, weight: float, smoothing: float) -> None:
    spec = BceSpec(positive_weight=weight, label_smoothing=smoothing)
    soft, p, q = target * (1 - smoothing) + smoothing / 2, _probability(logit), _probability(-logit)
    expected = -(weight * soft * math.log(p) + (1 - soft) * math.log(q))
    found = spec.mean(torch.tensor([logit]), torch.tensor([target])).item()
    # A small loss is what is left when numbers as large as the logit are subtracted: off by their last bits.
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6 + abs(logit) * 2**-22)


@given(logit=logits, target=st.sampled_from([0.0, 1.0]), gamma=st.floats(0.0, 5.0), smoothing=st.floats(0.0, 0.5))
def test_focal_is_its_formula(logit: float, target: float, gamma: float, smoothing: float) -> None:
    spec = FocalSpec(gamma=gamma, alpha=0.25, label_smoothing=smoothing)
    soft, p, q = target * (1 - smoothing) + smoothing / 2, _probability(logit), _probability(-logit)
    expected = -(0.25 * soft * q**gamma * math.log(p) + 0.75 * (1 - soft) * p**gamma * math.log(q))
    found = spec.mean(torch.tensor([logit]), torch.tensor([target])).item()
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_paper_s_example_of_a_well_classified_row() -> None:
    """With gamma 2 a row at p = .9 costs 100 times less than by the logloss (Lin et al., 2017, section 3.2)."""
    logit, one = torch.tensor([math.log(9.0)]), torch.ones(1)
    ratio = BceSpec().mean(logit, one) / FocalSpec(gamma=2.0, alpha=None).mean(logit, one)
    assert ratio.item() == pytest.approx(100.0, rel=1e-4)


def test_plain_bce_is_what_it_was_to_the_bit() -> None:
    assert torch.equal(BceSpec().mean(LOGITS, TARGETS), binary_cross_entropy(LOGITS, TARGETS))


def test_the_optimum_of_weighted_bce_has_the_odds_times_the_weight() -> None:
    targets = torch.tensor([1.0] + [0.0] * 9)
    logit = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([logit], max_iter=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = BceSpec(positive_weight=4.0).mean(logit.expand(10), targets)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert logit.exp().item() == pytest.approx(4.0 / 9.0, rel=1e-3)


@pytest.mark.parametrize("spec", [BceSpec(positive_weight=3.0, label_smoothing=0.1), FocalSpec(), FocalSpec(gamma=0.5)])
def test_gradients_are_right_and_finite_far_out(spec: PointwiseLoss) -> None:
    logit = LOGITS.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda one: spec.mean(one, TARGETS.double()), (logit,))
    far = torch.tensor([-1e4, 1e4, -1e4, 1e4], requires_grad=True)
    spec.mean(far, torch.tensor([1.0, 0.0, 0.0, 1.0])).backward()
    assert far.grad.isfinite().all()
    assert far.grad[:2].abs().min() > 0


def test_smoothing_draws_towards_one_half() -> None:
    assert smoothed(TARGETS, 0.0) is TARGETS
    torch.testing.assert_close(smoothed(TARGETS, 0.2), torch.tensor([0.9, 0.1, 0.9, 0.9, 0.1]))


def test_several_targets_are_as_many_rows() -> None:
    for spec in (BceSpec(positive_weight=2.0), FocalSpec()):
        wide = spec.mean(LOGITS[:4].reshape(2, 2), TARGETS[:4].reshape(2, 2))
        torch.testing.assert_close(wide, spec.mean(LOGITS[:4], TARGETS[:4]))


def test_the_config_names_a_loss_or_a_loss_with_settings() -> None:
    model = LogisticSpec()
    assert RankerSpec(model=model).loss == BceSpec()
    assert RankerSpec(model=model, loss="focal").loss == FocalSpec(gamma=2.0, alpha=0.25)
    weighted = RankerSpec(model=model, loss={"kind": "bce", "positive_weight": 5, "label_smoothing": 0.05})
    assert weighted.loss == BceSpec(positive_weight=5.0, label_smoothing=0.05)
    assert RankerSpec.model_validate(weighted.model_dump(mode="json")) == weighted


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("focall", "there is no loss 'focall'.*focal"),
        ({"kind": "bce", "positive_weight": 0}, "greater than 0"),
        ({"kind": "bce", "label_smoothing": 1.0}, "less than 1"),
        ({"kind": "focal", "gamma": -1}, "greater than or equal to 0"),
        ({"kind": "focal", "positive_weight": 2}, "unknown key"),
    ],
)
def test_settings_that_mean_nothing_are_refused(loss: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RankerSpec(model=LogisticSpec(), loss=loss)
