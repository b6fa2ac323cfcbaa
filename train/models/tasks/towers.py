"""The last layers of a model of several targets: a tower a target.

Shapes: B rows, T targets, O inputs of a tower.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from train.layers.mlp import Mlp


class Towers(nn.Module):
    """One small network a target, each on its own input.

    Args:
        inputs: O.
        hidden: Widths of the layers of each.
        count: T.
        dropout: Share of units that training switches off.

    Example:
        >>> tuple(Towers(4, (8,), count=2)(torch.zeros(5, 2, 4)).shape)
        (5, 2)
        >>> tuple(Towers(4, (8,), count=1)(torch.zeros(5, 1, 4)).shape)
        (5,)
    """

    def __init__(self, inputs: int, hidden: Sequence[int], *, count: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.each = nn.ModuleList(Mlp(inputs, hidden, out=1, dropout=dropout) for _ in range(count))

    def forward(self, x_BTO: Tensor) -> Tensor:
        """x_BTO -> logit_BT, or logit_B of a single target."""
        logits = [tower(x_BTO[:, place]) for place, tower in enumerate(self.each)]
        return torch.cat(logits, 1) if len(logits) > 1 else logits[0].squeeze(1)
