"""EASE is the closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.train.retrieve.planted import asked, filled, histories_of, met
from train.linear_algebra.inverse import negative_inverse_
from train.models.retrieve.ease import EaseSpec


def closed_form(met_UI: Tensor, *, l2: float) -> np.ndarray:
    """B by NumPy in float64."""
    x_UI = met_UI.double().numpy()
    p_II = np.linalg.inv(x_UI.T @ x_UI + l2 * np.eye(x_UI.shape[1]))
    b_II = -p_II / np.diag(p_II)
    np.fill_diagonal(b_II, 0.0)
    return b_II


def test_weights_are_those_of_the_closed_form() -> None:
    met_UI = met(200, 50, 0.2)
    weight_II = filled(EaseSpec(l2=3.0), met_UI).weight_II
    expected_II = closed_form(met_UI, l2=3.0)
    assert abs(expected_II - expected_II.T).max() > 0.01  # so that a transposed matrix would be told
    assert (weight_II.diagonal() == 0).all()
    assert np.allclose(weight_II.numpy(), expected_II, atol=1e-6)


def test_no_other_matrix_has_a_smaller_loss() -> None:
    met_UI = met(80, 12, 0.3)
    x_UI, b_II = met_UI.double(), filled(EaseSpec(l2=3.0), met_UI).weight_II.double()

    def loss(matrix_II: Tensor) -> float:
        return float((x_UI - x_UI @ matrix_II).square().sum() + 3.0 * matrix_II.square().sum())

    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        step_II = torch.randn(12, 12, generator=generator, dtype=torch.float64).fill_diagonal_(0.0)
        assert loss(b_II + 0.01 * step_II) > loss(b_II)


def test_scores_are_sums_of_rows() -> None:
    met_UI = met(60, 30, 0.2)
    score_UI = filled(EaseSpec(l2=3.0), met_UI)(histories_of(met_UI))
    assert np.allclose(score_UI.numpy(), met_UI.double().numpy() @ closed_form(met_UI, l2=3.0), atol=1e-6)


@pytest.mark.parametrize("neighbours", [1, 5, 29, 1000])
def test_the_largest_weights_of_each_column_are_kept_and_ranked_by(neighbours: int) -> None:
    met_UI = met(60, 30, 0.2)
    b_II = closed_form(met_UI, l2=3.0)
    kept = min(neighbours, 29)
    smallest_I = np.sort(abs(b_II), axis=0)[30 - kept]
    expected_II = np.where(abs(b_II) >= smallest_I - 1e-9, b_II, 0.0)
    score_UI = filled(EaseSpec(l2=3.0, neighbours=neighbours), met_UI)(histories_of(met_UI))
    assert np.allclose(score_UI.numpy(), met_UI.double().numpy() @ expected_II, atol=1e-6)


@pytest.mark.parametrize("neighbours", [None, 5])
def test_what_comes_again_counts_once(neighbours: int | None) -> None:
    met_UI = met(30, 20, 0.3)
    model = EaseSpec(l2=3.0, neighbours=neighbours)
    once, twice = filled(model, met_UI), filled(model, met_UI, again=50)
    assert all(torch.equal(a, b) for a, b in zip(once.state_dict().values(), twice.state_dict().values(), strict=True))
    assert torch.equal(once(asked([3, 1, 3, 3])), once(asked([1, 3])))
    assert once(asked([], [])).tolist() == [[0.0] * 20] * 2


@pytest.mark.parametrize("block", [1, 7, 16, 48, 64])
def test_the_inverse_in_blocks(block: int) -> None:
    x_UI = met(200, 48, 0.2).float()
    matrix_II = x_UI.T @ x_UI + 3.0 * torch.eye(48)
    expected_II = -torch.linalg.inv(matrix_II.double())
    lower_II = matrix_II.tril() + torch.full_like(matrix_II, float("nan")).triu(1)  # the upper half is not read
    found_II = negative_inverse_(lower_II, block=block)
    assert found_II is lower_II
    assert torch.equal(found_II, found_II.T)
    assert (found_II.double() - expected_II).norm() < 1e-6 * expected_II.norm()


def test_a_matrix_without_an_inverse_is_told() -> None:
    with pytest.raises(torch.linalg.LinAlgError):
        negative_inverse_(-torch.eye(3))
