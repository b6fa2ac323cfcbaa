"""The softmax over a sample of the catalogue, corrected for how the sample was drawn.

Shapes: B pairs, C candidates (the B items of the batch, then further ones), I items.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def sampled_softmax(score_BC: Tensor, item_C: Tensor, log_expected_C: Tensor | None) -> Tensor:
    """Mean of -log softmax of each pair's own item among the candidates.

    The score of a candidate is lowered by the logarithm of how often the sample is expected to hold it (Yi et al.,
    2019, equation 3: s - log p): without that a popular item, which is a negative more often, would be pushed
    down for being popular. A candidate that is the pair's own item again is no negative and is left out.

    Args:
        score_BC: Scores; candidate b is the item of pair b.
        item_C: Which item a candidate is.
        log_expected_C: Log of the expected count of the candidate's item, up to a constant; None: no correction.

    Returns:
        A scalar.

    Example:
        >>> score, item = torch.zeros(2, 2), torch.tensor([4, 4])
        >>> sampled_softmax(score, item, None).item()  # no negative is left
        0.0
    """
    own_B = torch.arange(score_BC.shape[0], device=score_BC.device)
    corrected_BC = score_BC if log_expected_C is None else score_BC - log_expected_C
    again_BC = item_C[: len(own_B), None] == item_C
    again_BC = again_BC & (own_B[:, None] != torch.arange(len(item_C), device=item_C.device))
    return cross_entropy(corrected_BC.masked_fill(again_BC, float("-inf")), own_B)


def log_expected(share_I: Tensor, uniform_I: Tensor, *, pairs: int, uniform: int) -> Tensor:
    """Log of the expected number of times each item is a candidate: log(pairs * share + uniform * chance).

    In-batch and uniform negatives form one sample (Yang et al., 2020, Mixed Negative Sampling).

    Args:
        share_I: Share of each item among the training pairs.
        uniform_I: Chance of each item in one uniform draw.
        pairs: Pairs of the batch.
        uniform: Uniform draws.
    """
    expected_I = pairs * share_I + uniform * uniform_I
    return torch.log(expected_I.clamp(min=torch.finfo(expected_I.dtype).tiny))
