"""Negatives drawn evenly or by popularity, for each pair or for the whole batch.

Shapes: B pairs, N negatives of a pair, I items.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from train.negatives.base import Drawn, Liked, NegativeSpec, Sampler, Shared, draw
from train.pairs import Pairs

Count = Annotated[int, Field(gt=0)]
ROUNDS = 16
"""How often an item that the user likes is drawn again before it is masked."""


class UniformNegatives(NegativeSpec):
    """Drawn evenly from all items, also those that nobody liked in training.

    Attributes:
        count: Negatives of a pair, or of the batch.
        shared: One sample for the whole batch: many negatives for the price of a matrix product.
    """

    kind: Literal["uniform"] = "uniform"
    count: Count = 1
    shared: bool = False

    def sampler(self, pairs: Pairs) -> Sampler:
        """Make the sampler; own negatives are drawn from the items that the user does not like."""
        if not self.shared:
            return _Even(pairs, self.count)
        return Shared(pairs, _even(pairs), draws=self.count, in_batch=False)


class PopularityNegatives(NegativeSpec):
    """Drawn by how many training pairs an item has, to some power (Mikolov et al., 2013, section 2.2).

    Attributes:
        count: Negatives of a pair, or of the batch.
        power: 1: by popularity, 0: evenly among the items of training.
        shared: One sample for the whole batch.
    """

    kind: Literal["popularity"] = "popularity"
    count: Count = 1
    power: Annotated[float, Field(ge=0.0, le=1.0)] = 0.75
    shared: bool = False

    def sampler(self, pairs: Pairs) -> Sampler:
        """Make the sampler."""
        count_I = torch.bincount(pairs.item_P, minlength=pairs.items).to(torch.float64)
        weight_I = torch.where(count_I > 0, count_I**self.power, 0.0)
        chance_I = weight_I / weight_I.sum()
        if self.shared:
            return Shared(pairs, chance_I, draws=self.count, in_batch=False)
        return _ByChance(pairs, chance_I, self.count)


class InBatchNegatives(NegativeSpec):
    """The items of the batch's other pairs: by popularity, and without a draw."""

    kind: Literal["in_batch"] = "in_batch"

    def sampler(self, pairs: Pairs) -> Sampler:
        """Make the sampler."""
        return Shared(pairs, _even(pairs), draws=0, in_batch=True)


class MixedNegatives(NegativeSpec):
    """The items of the batch and evenly drawn ones, as one sample (Yang et al., 2020, Mixed Negative Sampling).

    Attributes:
        count: How many are drawn for the batch.
    """

    kind: Literal["mixed"] = "mixed"
    count: Count = 256

    def sampler(self, pairs: Pairs) -> Sampler:
        """Make the sampler."""
        return Shared(pairs, _even(pairs), draws=self.count, in_batch=True)


class _Even:
    """Each pair's own negatives: the n-th of those that the user does not like, so that nothing is drawn twice."""

    def __init__(self, pairs: Pairs, count: int) -> None:
        self._liked, self._count, self._items = Liked(pairs), count, pairs.items
        self._log_chance = math.log(count / pairs.items)

    def __call__(self, user_B: Tensor, own_B: Tensor) -> Drawn:
        size = (len(user_B), self._count)
        left_B1 = (self._items - self._liked.sets.sizes[user_B]).unsqueeze(1)
        point_BN = torch.rand(size, dtype=torch.float64, device=user_B.device) * left_B1
        nth_BN = torch.minimum(point_BN.to(torch.int64), (left_B1 - 1).clamp(min=0))
        item_BN = self._liked.other(user_B, nth_BN).clamp(max=self._items - 1)
        # Of a user who likes every item nothing is left.
        wrong_BN = (left_B1 == 0).expand(size)
        log_chance_B = torch.full((len(user_B),), self._log_chance, device=user_B.device)
        return Drawn(item_BN, wrong_BN, log_chance_B.unsqueeze(1).expand(size), log_chance_B)


class _ByChance:
    """Each pair's own negatives; one that the user likes is drawn again."""

    def __init__(self, pairs: Pairs, chance_I: Tensor, count: int) -> None:
        self._liked, self._count, self._edge_I = Liked(pairs), count, chance_I.cumsum(0)
        self._log_chance_I = (chance_I * count).log().to(torch.float32)

    def __call__(self, user_B: Tensor, own_B: Tensor) -> Drawn:
        item_BN = draw(self._edge_I, len(user_B), self._count)
        for _ in range(ROUNDS):
            row, place = self._liked.has(user_B, item_BN).nonzero(as_tuple=True)
            if not len(row):
                break
            item_BN[row, place] = draw(self._edge_I, len(row))
        wrong_BN = self._liked.has(user_B, item_BN)
        return Drawn(item_BN, wrong_BN, self._log_chance_I[item_BN], self._log_chance_I[own_B])


def _even(pairs: Pairs) -> Tensor:
    return torch.full((pairs.items,), 1.0 / pairs.items, dtype=torch.float64, device=pairs.item_P.device)
