"""The softmax over a sample of the catalogue, corrected for how the sample was drawn.

Shapes: B pairs, C distinct candidates, I items.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def sampled_softmax(score_BC: Tensor, own_B: Tensor, log_chance_C: Tensor | None) -> Tensor:
    """Mean of -log softmax of each pair's own item among the candidates.

    The score of a candidate is lowered by the logarithm of its chance to be in the sample (Yi et al., 2019, equation
    3: s - log p): without that a popular item, which is a negative more often, would be pushed down for being
    popular. Candidates are distinct, so a pair never has its own item among its negatives, and the corrected softmax
    is the probability of the own item given the sample: it has the full softmax for its optimum.

    Args:
        score_BC: Scores of each pair's user for each candidate.
        own_B: Which candidate is the pair's own item.
        log_chance_C: Log of the chance of each candidate to be in the sample; None: no correction.

    Returns:
        A scalar.

    Example:
        >>> score, own = torch.zeros(2, 4), torch.tensor([3, 0])
        >>> round(sampled_softmax(score, own, None).exp().item(), 4)  # four equal candidates
        4.0
    """
    return cross_entropy(score_BC if log_chance_C is None else score_BC - log_chance_C, own_B)


def log_chance(share_I: Tensor, uniform_I: Tensor, *, pairs: int, uniform: int) -> Tensor:
    """Log of the chance of each item to be in a sample of in-batch and uniform negatives: 1 - (1 - share)^pairs ...

    Both kinds of negatives form one sample (Yang et al., 2020, Mixed Negative Sampling). For a rare item the chance
    is about `pairs * share + uniform * chance of one draw`.

    Args:
        share_I: Share of each item among the training pairs.
        uniform_I: Chance of each item in one uniform draw.
        pairs: Pairs of the batch.
        uniform: Uniform draws.

    Example:
        >>> share, even = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])
        >>> log_chance(share, even, pairs=2, uniform=1).exp()
        tensor([1.0000, 0.5000])
    """
    log_absent_I = torch.zeros_like(share_I)
    for draws, one_I in ((pairs, share_I), (uniform, uniform_I)):
        if draws:
            log_absent_I = log_absent_I + draws * torch.log1p(-one_I.clamp(max=1.0))
    return torch.log(-torch.expm1(log_absent_I))
