"""Item neighbours: who met these items also met that one.

Shapes: I items, S items of a strip, N neighbours.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from train.linear_algebra.counts import largest, met_together
from train.models.retrieve.base import CountedModel, Facts, Reads, Scores, Sizes, Towers
from train.models.retrieve.item_item import SparseItems


class ItemKnnSpec(CountedModel):
    """Cosine similarity of the sets of users of two items, with shrinkage; the nearest of each item vote for it.

    s_ij = (users of both) / (sqrt(users of i) sqrt(users of j) + shrink). An item's score is the sum of its similarity
    to those of its nearest that the user met, over the sum of its similarity to all of its nearest (Sarwar's weighted
    sum); an item counts once, however often it was met.

    Source: Sarwar et al., 2001, Item-Based Collaborative Filtering Recommendation Algorithms; shrinkage: Bell & Koren,
    2007, Improved Neighborhood-based Collaborative Filtering.

    Attributes:
        neighbours: Nearest items that each item keeps.
        shrink: How much a similarity that few users speak for is lowered.
        normalize: Divide by the sum over all of the nearest; otherwise items that are near to many others come first.
    """

    kind: Literal["item_knn"] = "item_knn"
    reads: ClassVar[frozenset[Reads]] = frozenset({Reads.HISTORY})
    neighbours: Annotated[int, Field(gt=0)] = 100
    shrink: Annotated[float, Field(ge=0.0)] = 0.0
    normalize: bool = True

    def build(self, sizes: Sizes) -> SparseItems:
        """Make scores in which no item is near another."""
        return SparseItems(sizes.items, self.neighbours)

    def fill(self, module: Towers | Scores, facts: Facts) -> None:
        """Count who met what together, and keep the nearest."""
        if not isinstance(module, SparseItems):
            raise TypeError(f"item_knn fills sparse scores, got {type(module).__name__}")
        positives = facts.positives
        users_I = torch.bincount(positives.item_P, minlength=positives.items).to(torch.float32)
        near, weights = [], []
        for start, count_SI in met_together(positives):
            score_SI = self._similarity(count_SI, users_I, start)
            near.append(largest(score_SI, module.neighbours))
            weight_SN = score_SI.gather(1, near[-1])
            if self.normalize:
                weight_SN /= weight_SN.sum(dim=1, keepdim=True).clamp_(min=1e-12)
            weights.append(weight_SN)
        module.hold(torch.cat(near), torch.cat(weights))

    def _similarity(self, count_SI: Tensor, users_I: Tensor, start: int) -> Tensor:
        """Of a strip of items to all; an item is not near itself."""
        own_S = torch.arange(len(count_SI), device=count_SI.device)
        both_SI = (users_I[start : start + len(count_SI)].unsqueeze(1) * users_I).sqrt_() + self.shrink
        score_SI = count_SI / both_SI.clamp_(min=1e-12)  # an item that nobody met has no users in common either
        score_SI[own_S, start + own_S] = -1.0
        return score_SI
