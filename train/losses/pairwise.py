"""Losses of an own item against sampled negatives.

Shapes: B pairs, N negatives of a pair. `wrong_BN` tells negatives that the user likes: they never count.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

_NEVER = -1e30
"""The score of a negative that does not count."""


def bpr(own_B: Tensor, other_BN: Tensor, wrong_BN: Tensor) -> Tensor:
    """Mean of -log sigmoid(own - other): the own item is to beat each negative.

    Source: Rendle et al., 2009, BPR, section 4.1. A pair whose negatives are all wrong counts as zero.

    Example:
        >>> own, other = torch.tensor([1.0]), torch.tensor([[1.0, 5.0]])
        >>> round(bpr(own, other, torch.tensor([[False, True]])).exp().item(), 4)  # one equal rival
        2.0
    """
    return _mean(softplus(other_BN - own_B.unsqueeze(1)), wrong_BN).mean()


def softmax(own_B: Tensor, other_BN: Tensor, wrong_BN: Tensor) -> Tensor:
    """Mean of -log of the own item's share of the softmax over itself and its negatives.

    Args:
        own_B: Scores, lowered by the log of the item's chance to be drawn (Bengio & Senecal, 2008; Yi et al., 2019).
        other_BN: The same of the negatives.
        wrong_BN: Negatives that the user likes.

    Example:
        >>> round(softmax(torch.zeros(1), torch.zeros(1, 3), torch.zeros(1, 3, dtype=torch.bool)).exp().item(), 4)
        4.0
    """
    # A finite floor: a row whose negatives are all wrong has a gradient of zero, and not of inf - inf.
    against_B = torch.logsumexp(other_BN.masked_fill(wrong_BN, _NEVER), dim=1)
    return softplus(against_B - own_B).mean()


def bce(own_B: Tensor, other_BN: Tensor, wrong_BN: Tensor, *, power: float = 1.0) -> Tensor:
    """Mean logloss of a positive and its negatives, the own item's probability taken to a power.

    Source: Petrov & Macdonald, 2023, gSASRec, section 4; with power 1 it is the usual binary cross-entropy. A pair's
    loss is divided by the number of its terms.

    Example:
        >>> round(bce(torch.zeros(1), torch.zeros(1, 3), torch.zeros(1, 3, dtype=torch.bool)).exp().item(), 4)
        2.0
    """
    right_BN = ~wrong_BN
    against_B = (softplus(other_BN) * right_BN).sum(dim=1)
    return ((power * softplus(-own_B) + against_B) / (1 + right_BN.sum(dim=1))).mean()


def generalised_power(*, negatives: int, items: int, calibration: float) -> float:
    """The power of gBCE: undoes how much sampled negatives make a model overrate what it likes.

    Source: Petrov & Macdonald, 2023, gSASRec, section 4: a(t(1 - 1/a) + 1/a) for a share a of the catalogue drawn.

    Args:
        negatives: Of a pair.
        items: Size of the catalogue.
        calibration: t: 0 is the usual loss, 1 the fully calibrated one.

    Example:
        >>> generalised_power(negatives=25, items=101, calibration=1.0)
        0.25
        >>> generalised_power(negatives=25, items=101, calibration=0.0)
        1.0
    """
    share = min(1.0, negatives / max(1, items - 1))
    return share * (calibration * (1.0 - 1.0 / share) + 1.0 / share) if share > 0.0 else 1.0


def _mean(value_BN: Tensor, wrong_BN: Tensor) -> Tensor:
    """Mean of the right ones of each row; zero without one."""
    right_BN = ~wrong_BN
    return (value_BN * right_BN).sum(dim=1) / right_BN.sum(dim=1).clamp(min=1)
