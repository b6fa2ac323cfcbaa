"""Experts beside each other, and gates that mix what they say.

Shapes: B rows, I inputs, O outputs of an expert, X experts, M mixtures.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from train.layers.mlp import linear


class Experts(nn.Module):
    """Networks of one form on one input, each with its own weights: ReLU layers, with dropout after each.

    The first layer of all is one matrix product, the further ones are one batch of products.

    Args:
        inputs: I.
        hidden: Widths of the layers; the last one is O.
        count: X.
        dropout: Share of units that training switches off.

    Example:
        >>> tuple(Experts(8, (16, 4), count=3)(torch.zeros(5, 8)).shape)
        (5, 3, 4)
    """

    def __init__(self, inputs: int, hidden: Sequence[int], *, count: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.count, self.outputs = count, hidden[-1]
        self.first = linear(inputs, count * hidden[0])
        self.later = nn.ModuleList()
        for before, after in pairwise(hidden):
            self.later.append(_Beside(before, after, count))
        with torch.no_grad():
            # Glorot's variance is that of a single expert, not of all of them as one layer.
            for weight in self.first.weight.chunk(count):
                nn.init.xavier_normal_(weight)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BI: Tensor) -> Tensor:
        """x_BI -> y_BXO."""
        y_BXO: Tensor = self.dropout(self.first(x_BI).relu().unflatten(1, (self.count, -1)))
        for layer in self.later:
            y_BXO = self.dropout(layer(y_BXO).relu())
        return y_BXO


class _Beside(nn.Module):
    """One linear layer of each expert, on that expert's own input."""

    def __init__(self, inputs: int, outputs: int, count: int) -> None:
        super().__init__()
        self.weight_XIO = nn.Parameter(torch.empty(count, inputs, outputs))
        self.bias_X1O = nn.Parameter(torch.zeros(count, 1, outputs))
        with torch.no_grad():
            for weight_IO in self.weight_XIO:
                nn.init.xavier_normal_(weight_IO)

    def forward(self, x_BXI: Tensor) -> Tensor:
        """x_BXI -> y_BXO."""
        y_XBO: Tensor = torch.bmm(x_BXI.transpose(0, 1), self.weight_XIO) + self.bias_X1O
        return y_XBO.transpose(0, 1)


class Gates(nn.Module):
    """Mixtures of experts, their shares decided by an input: softmax of a linear layer without bias.

    Args:
        inputs: I, of what decides.
        experts: X.
        mixtures: M.

    Example:
        >>> mixed = Gates(8, experts=3, mixtures=2)(torch.ones(5, 8), torch.ones(5, 3, 4))
        >>> tuple(mixed.shape), round(mixed.mean().item(), 6)
        ((5, 2, 4), 1.0)
    """

    def __init__(self, inputs: int, *, experts: int, mixtures: int = 1) -> None:
        super().__init__()
        self.shape = (mixtures, experts)
        self.score = linear(inputs, mixtures * experts, bias=False)

    def forward(self, x_BI: Tensor, expert_BXO: Tensor) -> Tensor:
        """What decides, and what the experts say -> mixed_BMO."""
        share_BMX = self.score(x_BI).unflatten(1, self.shape).softmax(2)
        return torch.bmm(share_BMX, expert_BXO)
