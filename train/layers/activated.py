"""Fully connected layers with other activations than ReLU.

Shapes: I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

from train.layers.mlp import linear


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
        >>> import torch
        >>> tuple(layers(8, (16, 4), lambda _: nn.LeakyReLU(), out=1)(torch.zeros(3, 8)).shape)
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
