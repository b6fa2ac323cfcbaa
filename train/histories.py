"""What each user met, in the order of time.

Shapes: P interactions, U users, B rows asked for, J elements of all lists together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from core.dataset import ASIDE, FOLD_IN, SPLITS
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
        time_P: When it was.

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
    time_P: Tensor

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
        return cls(interactions.item_P[order], interactions.split_P[order], start_U1, interactions.time_P[order])

    def until(self, split: str) -> Histories:
        """Only what lies before a split: what may be learned from, so without what is folded in."""
        return self._only(self._before(split))

    def during(self, split: str) -> Histories:
        """Only what a row of a split may know: everything but later splits. `before` says what was known when."""
        return self._only((self.split_P <= SPLITS.index(split)) | (self.split_P >= ASIDE))

    def _only(self, known_P: Tensor) -> Histories:
        lists = self._lists(known_P)
        return Histories(lists.values_J, self.split_P[known_P], lists.offsets_B1, self.time_P[known_P])

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

    def before(self, user_B: Tensor, time_B: Tensor, *, longest: int | None = None) -> Jagged:
        """What users met strictly earlier than a moment: items, oldest first.

        What happened at the very moment doesn't count, and so neither does a row that asks for its own.

        Args:
            user_B: Rows of users.
            time_B: The moments, as `Interactions.time_P` counts them.
            longest: Keep so many of the newest.

        Example:
            >>> user, item, time = torch.tensor([0, 0, 0, 1]), torch.tensor([7, 8, 9, 7]), torch.tensor([1, 2, 2, 1])
            >>> split, liked = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.bool)
            >>> histories = Histories.of(Interactions(user, item, liked, split, time, users=2, items=10))
            >>> met = histories.before(torch.tensor([0, 0, 1]), torch.tensor([2, 3, 1]))
            >>> met.values_J.tolist(), met.sizes.tolist()
            ([7, 7, 8, 9], [1, 3, 0])
        """
        start_B, stop_B = self._span(user_B.to(torch.int64), time_B.to(torch.int64))
        if longest is not None:
            start_B = torch.maximum(start_B, stop_B - longest)
        size_B = stop_B - start_B
        offsets_B1 = torch.cat([size_B.new_zeros(1), size_B.cumsum(0)])
        shift_J = torch.repeat_interleave(start_B - offsets_B1[:-1], size_B)
        place_J = torch.arange(len(shift_J), device=shift_J.device).add_(shift_J)
        return Jagged(self.item_P.index_select(0, place_J), offsets_B1)

    def _span(self, user_B: Tensor, time_B: Tensor) -> tuple[Tensor, Tensor]:
        """Where the interactions of each user begin, and where those before the moment end."""
        # By halves within each user: a search among all interactions together misses the cache more often.
        start_B, end_B = self.start_U1.index_select(0, user_B), self.start_U1.index_select(0, user_B + 1)
        stop_B = start_B
        for step in self._steps:
            further_B = torch.minimum(stop_B + step, end_B)
            # Of a user who met nothing this may look at somebody else, and moves nothing.
            newest_B = self.time_P.index_select(0, (further_B - 1).clamp_(min=0))
            stop_B = torch.where(newest_B < time_B, further_B, stop_B)
        return start_B, stop_B

    @cached_property
    def _steps(self) -> tuple[int, ...]:
        """Falling powers of two whose sum is at least the longest history."""
        longest = int(torch.diff(self.start_U1).max()) if len(self.start_U1) > 1 else 0
        return tuple(1 << place for place in reversed(range(longest.bit_length())))

    def to(self, device: torch.device) -> Histories:
        """The same on a device."""
        parts = (self.item_P, self.split_P, self.start_U1, self.time_P)
        return Histories(*(part.to(device) for part in parts))
