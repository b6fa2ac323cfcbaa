"""Metrics of ranked lists, one value a user.

Shapes: U users, K list length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.item_sets import NOTHING


def per_user(hit_UK: Tensor, positives_U: Tensor, *, k: int) -> dict[str, Tensor]:
    """Metrics at `k` of each user, from which places of the list hold something to be found.

    With P the positives of a user and r(i) = 1 when place i (from 1) is a hit:
    recall = sum r(i) / P; capped_recall = sum r(i) / min(k, P) (Liang et al., 2018, section 4.2);
    hr = whether there is a hit; mrr = 1 / place of the first hit, or 0;
    ndcg = sum r(i) / log2(i + 1) over the same sum for a list that starts with min(k, P) hits;
    map = sum r(i) (hits up to i) / i over min(k, P).

    Args:
        hit_UK: bool; the first k places are read.
        positives_U: Number of items to be found, at least one each.
        k: Length of the list that counts.

    Returns:
        float64 [U] by the metric's name and `@k`.

    Example:
        >>> figures = per_user(torch.tensor([[False, True]]), torch.tensor([4]), k=2)
        >>> {name: value.item() for name, value in figures.items() if name != "ndcg@2"}
        {'recall@2': 0.25, 'capped_recall@2': 0.5, 'hr@2': 1.0, 'mrr@2': 0.5, 'map@2': 0.25}
    """
    hit = hit_UK[:, :k].to(torch.float64)
    place_K = torch.arange(1, hit.shape[1] + 1, dtype=torch.float64, device=hit.device)
    gain_K = 1.0 / torch.log2(torch.arange(2, k + 2, dtype=torch.float64, device=hit.device))
    reachable_U = positives_U.clamp(max=k)
    ideal_U = torch.cumsum(gain_K, 0)[reachable_U - 1]
    found_U = hit.sum(dim=1)
    precision_UK = torch.cumsum(hit, dim=1) / place_K
    return {
        f"recall@{k}": found_U / positives_U,
        f"capped_recall@{k}": found_U / reachable_U,
        f"ndcg@{k}": (hit * gain_K[: hit.shape[1]]).sum(dim=1) / ideal_U,
        f"hr@{k}": (found_U > 0).to(torch.float64),
        f"mrr@{k}": (hit / place_K).amax(dim=1),
        f"map@{k}": (hit * precision_UK).sum(dim=1) / reachable_U,
    }


def coverage(item_UK: Tensor, *, k: int, items: int) -> float:
    """Share of the catalogue that appears in at least one list of length `k`."""
    shown = torch.unique(item_UK[:, :k])
    return int((shown != NOTHING).sum()) / items
