"""Fully connected layers with other activations than ReLU.

Shapes: B rows, I inputs, O outputs; N rows of whatever kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from train.layers.mlp import linear

EPSILON = 1e-8
"""What Dice adds to variances, as in its paper."""
MOMENTUM = 0.1
"""How much of its running statistics a training batch replaces."""


class Dice(nn.Module):
    """The data adaptive activation of DIN: `p x + (1 - p) alpha x`, `p = sigmoid((x - mean) / sd)` (Zhou et al., 2018).

    Each unit has its own alpha, which starts at 0, and its own mean and variance (equation 4): in training those of
    the batch, otherwise running ones, so that no row sees another. A batch without rows leaves them as they are.

    Example:
        >>> dice = Dice(2).eval()
        >>> dice(torch.tensor([[0.0, 50.0]])).tolist()
        [[0.0, 50.0]]
    """

    mean_O: Tensor
    variance_O: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.alpha_O = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("mean_O", torch.zeros(outputs))
        self.register_buffer("variance_O", torch.ones(outputs))

    def forward(self, x_NO: Tensor) -> Tensor:
        """x_NO -> y_NO."""
        mean_O, variance_O = self._moments(x_NO)
        share_NO = torch.sigmoid((x_NO - mean_O) * (variance_O + EPSILON).rsqrt())
        return x_NO * (self.alpha_O + share_NO * (1.0 - self.alpha_O))

    def _moments(self, x_NO: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training or x_NO.shape[0] == 0:
            return self.mean_O, self.variance_O
        variance_O, mean_O = torch.var_mean(x_NO.float(), dim=0, correction=0)
        with torch.no_grad():
            self.mean_O.lerp_(mean_O.detach(), MOMENTUM)
            self.variance_O.lerp_(variance_O.detach(), MOMENTUM)
        return mean_O, variance_O


def layers(
    inputs: int,
    hidden: Sequence[int],
    activation: Callable[[int], nn.Module],
    *,
    out: int | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Linear layers, each with an activation (made from its number of outputs) and dropout behind it.

    Args:
        inputs: I.
        hidden: Widths.
        activation: Makes the activation of a layer.
        out: Outputs of one more linear layer without activation; None: there is none.
        dropout: Share of units that training switches off.

    Example:
        >>> tuple(layers(8, (16, 4), Dice, out=1)(torch.zeros(3, 8)).shape)
        (3, 1)
    """
    sizes = [inputs, *hidden]
    found: list[nn.Module] = []
    for before, after in pairwise(sizes):
        found += [linear(before, after), activation(after)]
        if dropout > 0.0:
            found.append(nn.Dropout(dropout))
    if out is not None:
        found.append(linear(sizes[-1], out))
    return nn.Sequential(*found)
