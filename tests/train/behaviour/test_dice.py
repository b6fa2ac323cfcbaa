"""Dice by the statistics of a batch: the formulas of its paper, and their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import train.layers.dice as layer
from train.layers.dice import Dice, dice


def by_autograd(x_NO: Tensor, alpha_O: Tensor) -> Tensor:
    variance_O, mean_O = torch.var_mean(x_NO, dim=0, correction=0)
    return dice(x_NO, mean_O, variance_O, alpha_O)


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_strips_give_what_the_whole_gives(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "STRIP", 3)
    random = torch.Generator().manual_seed(1)
    x_NO = torch.randn(rows, 4, dtype=torch.float64, generator=random, requires_grad=True)
    alpha_O = torch.randn(4, dtype=torch.float64, generator=random, requires_grad=True)
    weight_NO = torch.randn(rows, 4, dtype=torch.float64, generator=random)
    found, expected = layer._OfBatch.apply(x_NO, alpha_O)[0], by_autograd(x_NO, alpha_O)
    torch.testing.assert_close(found, expected)
    ours = torch.autograd.grad((found * weight_NO).sum(), (x_NO, alpha_O))
    torch.testing.assert_close(ours, torch.autograd.grad((expected * weight_NO).sum(), (x_NO, alpha_O)))


def test_running_statistics_become_those_of_the_batches() -> None:
    x_NO = 3.0 + 2.0 * torch.randn(5000, 2, generator=torch.Generator().manual_seed(2))
    module = Dice(2)
    for _ in range(200):
        trained_NO = module(x_NO)
    variance_O, mean_O = torch.var_mean(x_NO, dim=0, correction=0)
    torch.testing.assert_close((module.mean_O, module.variance_O), (mean_O, variance_O))
    torch.testing.assert_close(module.eval()(x_NO), trained_NO)


def test_no_rows_change_nothing() -> None:
    module = Dice(2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert module(torch.zeros(0, 2)).shape == (0, 2)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
