"""Attention over histories: plain products and torch's kernel agree, weights of lists sum to one."""

from __future__ import annotations

import pytest
import torch

import train.layers.attention as layer
from train.jagged import Jagged
from train.layers.attention import ActivationUnit, SelfAttention, softmax_of_lists
from train.layers.padded import Grid


def test_both_ways_of_attention_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    lists = Jagged.of([[1, 2, 3], [4], [5, 6]])
    module, grid, x_JE = SelfAttention(8, heads=4), Grid.of(lists, longest=3), torch.randn(6, 8, requires_grad=True)
    found = []
    for short in (64, 0):
        monkeypatch.setattr(layer, "SHORT", short)
        y_JE = module(x_JE, grid)
        found.append((y_JE, torch.autograd.grad(y_JE.square().sum(), x_JE)[0]))
    torch.testing.assert_close(found[0], found[1])


def test_weights_of_a_list_are_those_of_a_softmax() -> None:
    score_J = torch.tensor([1.0, 2.0, -3.0, 500.0, 499.0, -1e4])
    found_J = softmax_of_lists(score_J, Jagged.of([[0, 0, 0], [], [0, 0], [0]]))
    expected = [torch.softmax(part, 0) for part in score_J.split([3, 2, 1])]
    torch.testing.assert_close(found_J, torch.cat(expected))


def test_the_unit_is_a_network_over_four_parts() -> None:
    torch.manual_seed(2)
    unit = ActivationUnit(4, hidden=(6, 3)).eval()
    met_JE, candidate_BE, owner_J = torch.randn(5, 4), torch.randn(2, 4), torch.tensor([0, 0, 1, 1, 1])
    candidate_JE = candidate_BE[owner_J]
    parts_JI = torch.cat([met_JE, candidate_JE, met_JE - candidate_JE, met_JE * candidate_JE], dim=1)
    expected_J = unit.rest(unit.first(parts_JI)).squeeze(1)
    torch.testing.assert_close(unit(met_JE, candidate_BE, owner_J), expected_J)
