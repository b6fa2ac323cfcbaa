"""Transformer blocks: the newest elements alone are what they are among all elements."""

from __future__ import annotations

import pytest
import torch

from train.jagged import Jagged
from train.layers.padded import Grid
from train.layers.transformer import Transformer


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("lists", [[[1, 2, 3], [], [4], [5, 6]], [[], []], [[1]], [list(range(80)), [1]]])
def test_the_newest_elements_alone(lists: list[list[int]], blocks: int, causal: bool) -> None:
    torch.manual_seed(3)
    jagged = Jagged.of(lists)
    module = Transformer(8, blocks=blocks, heads=2, hidden=16, dropout=0.3, causal=causal).eval()
    grid, x_JE = Grid.of(jagged, longest=100), torch.randn(len(jagged.values_J), 8, requires_grad=True)
    found_BE = module.newest(x_JE, grid)
    every_JE = torch.cat([module(x_JE, grid), torch.zeros(1, 8)])
    at_B = torch.where(jagged.sizes > 0, jagged.offsets_B1[1:] - 1, -1)
    torch.testing.assert_close(found_BE, every_JE[at_B], atol=1e-6, rtol=1e-5)
    found, expected = (torch.autograd.grad(y.square().sum(), x_JE)[0] for y in (found_BE, every_JE[at_B]))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
