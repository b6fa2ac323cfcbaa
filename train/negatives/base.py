"""What a sampler of negatives is: items that a user is not known to like, drawn for the pairs of a batch.

Shapes: B pairs, N negatives of a pair (or of the whole batch, where they are shared), I items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.spec import Spec
from train.item_sets import ItemSets
from train.losses.sampled import log_chance
from train.pairs import Pairs


@dataclass(frozen=True)
class Drawn:
    """Negatives of a batch.

    Attributes:
        item: [B, N], each pair's own, or [N], shared by all pairs and then distinct.
        wrong_BN: Which of them the pair's user likes: they must not count.
        log_chance: Log of how often the item is expected among the negatives, of the shape of `item`; before the
            items that a user likes are left out, which lowers or raises all of a row by one number.
        own_log_chance_B: The same of each pair's own item.
    """

    item: Tensor
    wrong_BN: Tensor
    log_chance: Tensor
    own_log_chance_B: Tensor


Sampler = Callable[[Tensor, Tensor], Drawn]
"""(user_B, own_B): users and the items that they like, to their negatives; drawn from torch's random state."""


class NegativeSpec(Spec):
    """Settings of a sampler."""

    kind: str
    """Its name in YAML and in `train.negatives.NEGATIVES`."""

    def sampler(self, pairs: Pairs) -> Sampler:
        """Make the sampler.

        Args:
            pairs: Training pairs: none of a user's is ever a negative of that user that counts.
        """
        raise NotImplementedError


class Liked:
    """What each user likes, ready for many questions."""

    def __init__(self, pairs: Pairs) -> None:
        self.sets = ItemSets.of(pairs.user_P, pairs.item_P, users=pairs.users, items=pairs.items)
        self.items = pairs.items
        place = torch.arange(len(self.sets.item_P), device=self.sets.item_P.device)
        owner_P = torch.repeat_interleave(torch.arange(pairs.users, device=place.device), self.sets.sizes)
        self._key_P = owner_P * self.items + self.sets.item_P
        # How many items before a liked one are not liked: never falls within a user.
        before_P = self.sets.item_P - (place - self.sets.start_U[:-1][owner_P])
        self._gap_P = owner_P * (self.items + 1) + before_P

    def has(self, user_B: Tensor, item_BN: Tensor) -> Tensor:
        """Whether a user likes an item: bool [B, N]."""
        key_BN = user_B.unsqueeze(1) * self.items + item_BN
        place_BN = torch.searchsorted(self._key_P, key_BN).clamp_(max=len(self._key_P) - 1)
        return self._key_P[place_BN] == key_BN

    def has_among(self, user_B: Tensor, item_C: Tensor) -> Tensor:
        """Whether a user likes each of some distinct items: bool [B, C]; costs what the users like."""
        row, item = self.sets.pairs(user_B)
        place_I = item.new_full((self.items,), -1)
        place_I[item_C] = torch.arange(len(item_C), device=item.device)
        place = place_I[item]
        found_BC = torch.zeros(len(user_B), len(item_C), dtype=torch.bool, device=item.device)
        found_BC[row[place >= 0], place[place >= 0]] = True
        return found_BC

    def other(self, user_B: Tensor, nth_BN: Tensor) -> Tensor:
        """The item that is the n-th, from 0, of those that the user does not like: [B, N]."""
        key_BN = user_B.unsqueeze(1) * (self.items + 1) + nth_BN
        stop_BN = torch.searchsorted(self._gap_P, key_BN, right=True)
        return nth_BN + stop_BN - self.sets.start_U[user_B].unsqueeze(1)


class Shared:
    """One sample for the whole batch: items of the batch, drawn ones, or both, as one set.

    Args:
        pairs: Training pairs.
        chance_I: Chance of each item in one draw.
        draws: How many are drawn.
        in_batch: Take the items of the batch's pairs too.
    """

    def __init__(self, pairs: Pairs, chance_I: Tensor, *, draws: int, in_batch: bool) -> None:
        self._liked, self._draws, self._in_batch = Liked(pairs), draws, in_batch
        self._chance_I, self._edge_I = chance_I, chance_I.cumsum(0)
        count_I = torch.bincount(pairs.item_P, minlength=pairs.items)
        self._share_I = (count_I / count_I.sum()).to(chance_I.dtype)

    def __call__(self, user_B: Tensor, own_B: Tensor) -> Drawn:
        """Draw for a batch."""
        drawn = draw(self._edge_I, self._draws)
        item_C = torch.unique(torch.cat([own_B, drawn]) if self._in_batch else drawn)
        wrong_BC = self._liked.has_among(user_B, item_C)
        return Drawn(item_C, wrong_BC, self._log_chance(item_C, len(own_B)), self._log_chance(own_B, len(own_B)))

    def _log_chance(self, item: Tensor, pairs: int) -> Tensor:
        share, chance = self._share_I[item], self._chance_I[item]
        chosen = log_chance(share, chance, pairs=pairs if self._in_batch else 0, uniform=self._draws)
        return chosen.to(torch.float32)


def draw(edge_I: Tensor, *size: int) -> Tensor:
    """Items by their chances.

    Args:
        edge_I: Running sum of the chances, float64.
        size: Of the result.
    """
    point = torch.rand(size, dtype=torch.float64, device=edge_I.device) * edge_I[-1]
    return torch.searchsorted(edge_I, point, right=True).clamp_(max=len(edge_I) - 1)
