"""The cross network of DCN-v2.

Shapes: B rows, I inputs.
"""

from __future__ import annotations

from torch import Tensor, nn

from train.layers.mlp import linear


class Cross(nn.Module):
    """`x_{l+1} = x_0 * (W_l x_l + b_l) + x_l`, elementwise product (Wang et al., 2021, eq. 1).

    With `rank`, each `W_l` is a product of two thin matrices (their eq. 2, one expert).

    Args:
        inputs: Width of x.
        layers: Number of layers: the highest degree of an interaction is `layers + 1`.
        rank: Inner width of a thin product; None: full matrices.
    """

    def __init__(self, inputs: int, *, layers: int, rank: int | None = None) -> None:
        super().__init__()
        self.weights = nn.ModuleList(_weight(inputs, rank) for _ in range(layers))

    def forward(self, x_BI: Tensor) -> Tensor:
        """x_BI -> crossed_BI."""
        crossed_BI = x_BI
        for weight in self.weights:
            crossed_BI = x_BI * weight(crossed_BI) + crossed_BI
        return crossed_BI


def _weight(inputs: int, rank: int | None) -> nn.Module:
    if rank is None:
        return linear(inputs, inputs)
    return nn.Sequential(linear(inputs, rank, bias=False), linear(rank, inputs))
