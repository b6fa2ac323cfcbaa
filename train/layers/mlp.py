"""Fully connected layers.

Shapes: B rows, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class Mlp(nn.Module):
    """ReLU layers, with dropout after each; `out` adds a last linear layer without either.

    Weights start as in Glorot & Bengio (2010), normal with variance 2 / (inputs + outputs); biases at zero.

    Example:
        >>> import torch
        >>> tuple(Mlp(8, (16, 4), out=1)(torch.zeros(3, 8)).shape)
        (3, 1)
    """

    def __init__(self, inputs: int, hidden: Sequence[int], *, out: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [inputs, *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [linear(before, after), nn.ReLU()]
            if dropout > 0.0:
                layers.append(nn.Dropout(dropout))
        if out is not None:
            layers.append(linear(sizes[-1], out))
        self.layers = nn.Sequential(*layers)

    def forward(self, x_BI: Tensor) -> Tensor:
        """x_BI -> y_BO."""
        y_BO: Tensor = self.layers(x_BI)
        return y_BO


def linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer with Glorot-normal weights and a zero bias."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_normal_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
