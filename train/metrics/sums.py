"""Sums that depend on nothing but the values: float64, added along one fixed tree.

`torch.sum` splits a long vector among its threads, so its last digits change with the number of threads.
"""

from __future__ import annotations

import torch
from torch import Tensor

WIDTH = 1024


def total(values: Tensor) -> float:
    """Sum a tensor in float64, in an order that depends only on its length.

    Args:
        values: Any shape, any number type.

    Returns:
        The sum; 0.0 of nothing.

    Example:
        >>> total(torch.tensor([0.5, 0.25]))
        0.75
    """
    level = values.reshape(-1).to(torch.float64)
    while level.numel() > 1:
        padding = -level.numel() % WIDTH
        level = torch.nn.functional.pad(level, (0, padding)).view(-1, WIDTH).sum(dim=1)
    return float(level.item()) if level.numel() else 0.0


def mean(values: Tensor) -> float:
    """Mean of a tensor in float64; NaN of nothing."""
    return total(values) / values.numel() if values.numel() else float("nan")
