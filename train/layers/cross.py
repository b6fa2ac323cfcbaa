"""The cross networks of DCN and DCN-v2.

Shapes: B rows, I inputs, L layers, K experts, R inner width of a thin product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.layers.mlp import linear

Activation = Literal["tanh", "relu", "none"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "none": lambda x: x,
}


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


class VectorCross(nn.Module):
    """`x_{l+1} = x_0 (x_l . w_l) + b_l + x_l`: the cross network of the first DCN (Wang et al., 2017, eq. 3).

    Each `x_l` is `a_l x_0 + b'_l`, with one number `a_l` a row and a vector `b'_l` that is the same for all rows: the
    sum of the biases so far. So all layers together need one product of `x_0` with the L weights, and then only
    numbers: `a_{l+1} = a_l + a_l (x_0 . w_l) + b'_l . w_l`.

    Args:
        inputs: Width of x.
        layers: Number of layers.
    """

    def __init__(self, inputs: int, *, layers: int) -> None:
        super().__init__()
        self.weight_LI = nn.Parameter(torch.cat([linear(inputs, 1).weight.detach() for _ in range(layers)]))
        self.bias_LI = nn.Parameter(torch.zeros(layers, inputs))

    def forward(self, x_BI: Tensor) -> Tensor:
        """x_BI -> crossed_BI."""
        product_BL = functional.linear(x_BI, self.weight_LI)
        ends_LI = self.bias_LI.cumsum(0)
        before_L = ((ends_LI - self.bias_LI) * self.weight_LI).sum(1)
        scale_B1 = torch.ones_like(product_BL[:, :1])
        for layer in range(self.weight_LI.shape[0]):
            scale_B1 = scale_B1 + scale_B1 * product_BL[:, layer : layer + 1] + before_L[layer]
        return x_BI * scale_B1 + ends_LI[-1]


class MixtureCross(nn.Module):
    """Cross layers whose weight is a mixture of thin experts (Wang et al., 2021, eq. 3 to 5).

    `x_{l+1} = sum_k G_k(x_l) x_0 * (U_k g(C_k g(V_k^T x_l)) + b_l) + x_l`, where the gates G are a softmax of a
    linear function of `x_l`. One expert is `Cross` with a rank, but for C and g.

    Args:
        inputs: Width of x.
        layers: Number of layers.
        rank: Inner width of an expert.
        experts: Experts of each layer.
        activation: g.
    """

    def __init__(self, inputs: int, *, layers: int, rank: int, experts: int, activation: Activation = "tanh") -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Mixture(inputs, rank, experts, activation) for _ in range(layers))

    def forward(self, x_BI: Tensor) -> Tensor:
        """x_BI -> crossed_BI."""
        crossed_BI = x_BI
        for layer in self.layers:
            crossed_BI = x_BI * layer(crossed_BI) + crossed_BI
        return crossed_BI


class _Mixture(nn.Module):
    """`sum_k G_k(x) U_k g(C_k g(V_k^T x)) + b`: the gates add up to 1, so that b needs none of them."""

    def __init__(self, inputs: int, rank: int, experts: int, activation: Activation) -> None:
        super().__init__()
        self.shape, self.activation = (experts, rank), activation
        self.down = linear(inputs, experts * rank, bias=False)
        self.inner_KRR = nn.Parameter(torch.empty(experts, rank, rank))
        self.up = linear(experts * rank, inputs)
        self.gate = linear(inputs, experts) if experts > 1 else None
        with torch.no_grad():  # the variance of each expert's own matrix
            for expert in range(experts):
                rows = slice(expert * rank, (expert + 1) * rank)
                nn.init.xavier_normal_(self.down.weight[rows])
                nn.init.xavier_normal_(self.inner_KRR[expert])
                nn.init.xavier_normal_(self.up.weight[:, rows])

    def forward(self, x_BI: Tensor) -> Tensor:
        """x_BI -> weighed_BI. The last products of all experts are one, since the gates scale what goes into it."""
        down_BKR = _ACTIVATIONS[self.activation](self.down(x_BI).view(-1, *self.shape))
        inner_KBR = down_BKR.transpose(0, 1) @ self.inner_KRR.transpose(1, 2)
        inner_BKR = _ACTIVATIONS[self.activation](inner_KBR.transpose(0, 1))
        if self.gate is not None:
            inner_BKR = inner_BKR * self.gate(x_BI).softmax(1).unsqueeze(2)
        weighed_BI: Tensor = self.up(inner_BKR.flatten(1))
        return weighed_BI


def _weight(inputs: int, rank: int | None) -> nn.Module:
    if rank is None:
        return linear(inputs, inputs)
    return nn.Sequential(linear(inputs, rank, bias=False), linear(rank, inputs))
