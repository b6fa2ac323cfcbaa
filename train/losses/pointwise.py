"""Losses: logits and targets to one number that training makes smaller."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def binary_cross_entropy(logit_B: Tensor, target_B: Tensor) -> Tensor:
    """Mean logloss of a batch, computed from logits so that large ones neither overflow nor lose digits.

    Example:
        >>> import torch
        >>> binary_cross_entropy(torch.tensor([200.0, -200.0]), torch.tensor([1.0, 1.0]))
        tensor(100.)
    """
    return functional.binary_cross_entropy_with_logits(logit_B, target_B)
