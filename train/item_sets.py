"""A set of items for each user: what was seen, what is wanted, what must not be drawn.

Shapes: U users, P pairs, B users asked for, K items each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NOTHING = -1
"""Stands in a list for `no item left`."""


@dataclass(frozen=True)
class ItemSets:
    """A set of items for each user, flat.

    Attributes:
        start_U: Where each user's items begin, and at the end where the last user's stop: U + 1 entries.
        item_P: The items, rising within each user.
        items: Size of the catalogue.
    """

    start_U: Tensor
    item_P: Tensor
    items: int

    @classmethod
    def of(cls, user_P: Tensor, item_P: Tensor, *, users: int, items: int) -> ItemSets:
        """Sort pairs into sets; a pair that comes twice counts once.

        Example:
            >>> sets = ItemSets.of(torch.tensor([1, 1, 0]), torch.tensor([2, 2, 0]), users=2, items=3)
            >>> sets.sizes.tolist(), sets.item_P.tolist()
            ([1, 1], [0, 2])
        """
        key_P = torch.unique(user_P.to(torch.int64) * items + item_P.to(torch.int64))
        edges = torch.arange(users + 1, device=key_P.device) * items
        return cls(torch.searchsorted(key_P, edges), key_P % items, items)

    @property
    def sizes(self) -> Tensor:
        """Number of items of each user."""
        return torch.diff(self.start_U)

    @property
    def users(self) -> int:
        """Number of users."""
        return len(self.start_U) - 1

    def pairs(self, user_B: Tensor) -> tuple[Tensor, Tensor]:
        """The items of some users: (position in `user_B`, item), one entry a pair."""
        size_B = self.sizes[user_B]
        row = torch.repeat_interleave(torch.arange(len(user_B), device=user_B.device), size_B)
        first = torch.cumsum(size_B, 0) - size_B
        offset = torch.arange(len(row), device=user_B.device) - first[row]
        return row, self.item_P[self.start_U[user_B][row] + offset]

    def contain(self, user_B: Tensor, item_BK: Tensor) -> Tensor:
        """Whether each item of `item_BK` belongs to the user of its row: bool [B, K]. NOTHING never does."""
        owner_P = torch.repeat_interleave(torch.arange(self.users, device=user_B.device), self.sizes)
        key_P = owner_P * self.items + self.item_P
        if not len(key_P):
            return torch.zeros_like(item_BK, dtype=torch.bool)
        key_BK = user_B.to(torch.int64).unsqueeze(1) * self.items + item_BK
        place_BK = torch.searchsorted(key_P, key_BK).clamp_(max=len(key_P) - 1)
        return (key_P[place_BK] == key_BK) & (item_BK != NOTHING)

    def minus(self, other: ItemSets) -> ItemSets:
        """The items of each user that are not the user's in `other`."""
        user_P, item_P = self.pairs(torch.arange(self.users, device=self.start_U.device))
        fresh = ~other.contain(user_P, item_P.unsqueeze(1)).squeeze(1)
        return ItemSets.of(user_P[fresh], item_P[fresh], users=self.users, items=self.items)

    def only(self, there_I: Tensor) -> ItemSets:
        """The items of each user that are among some items: bool [I]."""
        user_P, item_P = self.pairs(torch.arange(self.users, device=self.start_U.device))
        kept = there_I[item_P]
        return ItemSets.of(user_P[kept], item_P[kept], users=self.users, items=self.items)

    def to(self, device: torch.device) -> ItemSets:
        """The same on a device."""
        return ItemSets(self.start_U.to(device), self.item_P.to(device), self.items)
