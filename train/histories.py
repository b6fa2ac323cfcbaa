"""What each user met, in the order of time.

Shapes: P interactions, U users.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.dataset import FOLD_IN, SPLITS
from train.jagged import Jagged
from train.pairs import Interactions

HISTORY = "__history__"
"""Name in `Batch.lists` of a user's items, oldest first."""
END = "end"
"""In place of a split: when all of them are over, as in a bundle."""


@dataclass(frozen=True)
class Histories:
    """Interactions sorted by user, time and place in the file.

    Attributes:
        item_P: Rows of items.
        split_P: Index into SPLITS, or what stands in its place.
        start_U1: Where the interactions of each user begin, and where the last one's end.

    Example:
        >>> user, item = torch.tensor([0, 1, 0]), torch.tensor([7, 8, 9])
        >>> split, time = torch.tensor([0, 0, 1]), torch.tensor([5, 5, 4])
        >>> liked = torch.ones(3, dtype=torch.bool)
        >>> histories = Histories.of(Interactions(user, item, liked, split, time, users=2, items=10))
        >>> histories.at("valid").values_J.tolist(), histories.at("test").values_J.tolist()
        ([7, 8], [9, 7, 8])
    """

    item_P: Tensor
    split_P: Tensor
    start_U1: Tensor

    @classmethod
    def of(cls, interactions: Interactions, *, positives_only: bool = True) -> Histories:
        """Sort interactions.

        Args:
            interactions: All of them.
            positives_only: Leave out those whose target is not above one half.
        """
        every = torch.ones_like(interactions.positive_P)
        chosen = (interactions.positive_P if positives_only else every).nonzero().squeeze(1)
        by_time = torch.argsort(interactions.time_P[chosen], stable=True)
        order = chosen[by_time][torch.argsort(interactions.user_P[chosen][by_time], stable=True)]
        count_U = torch.bincount(interactions.user_P[order], minlength=interactions.users)
        start_U1 = torch.cat([count_U.new_zeros(1), count_U.cumsum(0)])
        return cls(interactions.item_P[order], interactions.split_P[order], start_U1)

    def until(self, split: str) -> Histories:
        """Only what lies before a split: what may be learned from, so without what is folded in."""
        known = self._before(split)
        lists = self._lists(known)
        return Histories(lists.values_J, self.split_P[known], lists.offsets_B1)

    def _before(self, split: str) -> Tensor:
        return torch.ones_like(self.split_P, dtype=torch.bool) if split == END else self.split_P < SPLITS.index(split)

    def _lists(self, known_P: Tensor) -> Jagged:
        ended_P1 = torch.cat([known_P.new_zeros(1, dtype=torch.int64), known_P.cumsum(0)])
        return Jagged(self.item_P[known_P], ended_P1[self.start_U1])

    def at(self, split: str, *, longest: int | None = None) -> Jagged:
        """What is known of each user when a split begins: the items of the splits before it, oldest first.

        Rows that are folded in count as known.

        Args:
            split: valid or test, or END.
            longest: Keep so many of the newest.
        """
        lists = self._lists(self._before(split) | (self.split_P == FOLD_IN))
        return lists if longest is None else lists.last(longest)
