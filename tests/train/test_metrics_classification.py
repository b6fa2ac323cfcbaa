"""Classification metrics: by hand, against scikit-learn and torchmetrics, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error

from train.metrics import classification as ours
from train.metrics.sums import WIDTH, mean, total

ROWS = st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=2, max_size=60)


def sample(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits with ties, and targets that follow them."""
    generator = torch.Generator().manual_seed(seed)
    logit = (torch.randn(rows, generator=generator) * 8).round() / 4 - 1
    target = (torch.rand(rows, generator=generator) < torch.sigmoid(logit)).float()
    return logit, target


def tensors(rows: list[tuple[int, bool]]) -> tuple[Tensor, Tensor]:
    """Hypothesis' rows as score and target."""
    return torch.tensor([float(s) for s, _ in rows]), torch.tensor([float(t) for _, t in rows])


def pairs_auc(score: Tensor, target: Tensor) -> float:
    """The definition: ordered pairs, ties counting half."""
    positive, negative = score[target > 0.5], score[target <= 0.5]
    won = (positive[:, None] > negative).double() + 0.5 * (positive[:, None] == negative).double()
    return won.mean().item() if won.numel() else math.nan


def test_auc_by_hand() -> None:
    score, target = torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert ours.auc(score, target) == 0.75
    assert ours.auc(torch.zeros(4), target) == 0.5
    assert ours.auc(-score, target) == 0.25
    assert math.isnan(ours.auc(score, torch.ones(4)))
    assert math.isnan(ours.auc(torch.zeros(0), torch.zeros(0)))


def test_auc_is_scikit_learns() -> None:
    score, target = sample(5000)
    assert ours.auc(score, target) == pytest.approx(sk.roc_auc_score(target, score), abs=1e-13)


@given(ROWS)
def test_auc_is_its_definition(rows: list[tuple[int, bool]]) -> None:
    score, target = tensors(rows)
    assert ours.auc(score, target) == pytest.approx(pairs_auc(score, target), abs=1e-14, nan_ok=True)


@given(ROWS, st.randoms())
def test_auc_laws(rows: list[tuple[int, bool]], random: object) -> None:
    score, target = tensors(rows)
    value = ours.auc(score, target)
    if math.isnan(value):
        return
    assert ours.auc(torch.exp(score / 4) * 3 - 1, target) == value  # a monotone map changes nothing
    assert ours.auc(-score, target) == pytest.approx(1 - value, abs=1e-15)
    assert ours.auc(score, 1 - target) == pytest.approx(1 - value, abs=1e-15)
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert ours.auc(score[order], target[order]) == value


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans(), st.integers(0, 4)), min_size=1, max_size=60))
def test_grouped_auc_is_its_definition(rows: list[tuple[int, bool, int]]) -> None:
    score, target = tensors([row[:2] for row in rows])
    group = torch.tensor([row[2] for row in rows])
    values, weights, left_out = [], [], 0
    for one in group.unique():
        value = pairs_auc(score[group == one], target[group == one])
        if math.isnan(value):
            left_out += 1
        else:
            values.append(value)
            weights.append(int((group == one).sum()))
    found = ours.grouped_auc(score, target, group)
    assert (found.groups, found.left_out, found.rows) == (len(values), left_out, sum(weights))
    expected = float(np.average(values, weights=weights)) if values else math.nan
    assert found.value == pytest.approx(expected, abs=1e-13, nan_ok=True)


def test_one_group_is_the_plain_auc() -> None:
    score, target = sample(999)
    assert ours.grouped_auc(score, target, torch.full((999,), 3)).value == pytest.approx(ours.auc(score, target))


def test_logloss_is_scikit_learns() -> None:
    logit, target = sample(3000)
    expected = sk.log_loss(target, torch.sigmoid(logit.double()))
    assert ours.logloss(logit, target) == pytest.approx(expected, abs=1e-13)


def test_logloss_of_confident_logits_is_finite_and_exact() -> None:
    logit, target = torch.tensor([500.0, -500.0]), torch.tensor([0.0, 1.0])
    assert ours.logloss(logit, target) == 500.0
    assert ours.logloss(logit, 1 - target) == pytest.approx(0.0, abs=1e-200)


def test_normalised_entropy_of_the_rate_is_one() -> None:
    target = torch.tensor([1.0, 0, 0, 0])
    logit = torch.full((4,), math.log(1 / 3))
    assert ours.normalised_entropy(logit, target) == pytest.approx(1.0, abs=1e-7)
    assert ours.normalised_entropy(logit + 1, target) > 1.0
    assert math.isnan(ours.normalised_entropy(logit, torch.zeros(4)))
    assert math.isnan(ours.normalised_entropy(logit[:0], target[:0]))


def test_accuracy_and_calibration_by_hand() -> None:
    probability, target = torch.tensor([0.5, 0.6, 0.9, 0.2]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert ours.accuracy(probability, target) == 0.5
    assert ours.calibration(probability, target) == pytest.approx(1.1, abs=1e-6)
    assert math.isnan(ours.calibration(probability, torch.zeros(4)))


def test_expected_calibration_error_is_torchmetrics() -> None:
    # torchmetrics measures the calibration of the predicted class, which is ours where the positive class is predicted.
    generator = torch.Generator().manual_seed(3)
    probability = torch.rand(4000, generator=generator) * 0.499 + 0.5005
    target = (torch.rand(4000, generator=generator) < probability**2).float()
    expected = binary_calibration_error(probability, target.int(), n_bins=15, norm="l1")
    found = ours.expected_calibration_error(probability, target, bins=15)
    assert found == pytest.approx(expected.item(), abs=1e-6)


def test_expected_calibration_error_by_hand() -> None:
    probability, target = torch.tensor([0.1, 0.3, 0.9, 0.9]), torch.tensor([0.0, 1.0, 1.0, 1.0])
    # Two bins: (0.2 promised, 0.5 came) twice, (0.9 promised, 1 came) twice.
    assert ours.expected_calibration_error(probability, target, bins=2) == pytest.approx(0.2, abs=1e-7)
    assert math.isnan(ours.expected_calibration_error(probability[:0], target[:0]))


@pytest.mark.parametrize("by", ["width", "mass"])
def test_bins_hold_every_row_once_and_keep_the_means(by: str) -> None:
    logit, target = sample(1003)
    probability = torch.sigmoid(logit.double())
    bins = ours.calibration_bins(probability, target, bins=10, by=by)
    assert sum(one.rows for one in bins) == 1003
    promised = sum(one.rows * one.mean_prediction for one in bins) / 1003
    assert promised == pytest.approx(probability.mean().item(), abs=1e-12)
    assert [one.mean_prediction for one in bins] == sorted(one.mean_prediction for one in bins)
    if by == "mass":
        assert max(one.rows for one in bins) - min(one.rows for one in bins) <= 1


def test_roc_points_are_scikit_learns_curve() -> None:
    score, target = sample(500)
    fpr, tpr, _ = sk.roc_curve(target, score, drop_intermediate=False)
    found = np.array(ours.roc_points(score, target, points=5000))
    assert np.allclose(found, np.stack([fpr, tpr], 1), atol=1e-15)
    thin = np.array(ours.roc_points(score, target, points=10))
    assert len(thin) == 11
    assert thin[0].tolist() == [0, 0]
    assert thin[-1].tolist() == [1, 1]
    assert ours.roc_points(score, torch.ones(500)) == []


def test_area_under_the_roc_points_is_the_auc() -> None:
    score, target = sample(500)
    curve = np.array(ours.roc_points(score, target, points=5000))
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(ours.auc(score, target), abs=1e-13)


@pytest.mark.parametrize("count", [0, 1, WIDTH, WIDTH + 1, 3 * WIDTH * WIDTH + 7])
def test_total_is_exact_and_free_of_threads(count: int) -> None:
    values = torch.randint(-1000, 1000, (count,), generator=torch.Generator().manual_seed(1))
    assert total(values) == float(values.sum())
    noise = torch.rand(count, generator=torch.Generator().manual_seed(2))
    threads = torch.get_num_threads()
    many = total(noise)
    torch.set_num_threads(1)
    try:
        assert total(noise) == many
    finally:
        torch.set_num_threads(threads)
    assert many == pytest.approx(math.fsum(noise.tolist()), rel=1e-14)


def test_mean_of_nothing_is_nan() -> None:
    assert math.isnan(mean(torch.zeros(0)))
