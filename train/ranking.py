"""Exact ranking of the whole catalogue, in blocks of users.

Shapes: U users, I items, D dimensions, K list length, P pairs.

A score is the inner product of two float32 vectors, computed in float64 and rounded to float32. The products of
float32 numbers are exact in float64, so the rounding no longer depends on how the sum was blocked: every block
size and every device gives the same scores, and items with equal vectors tie exactly. Ties go to the item with
the smaller index.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import UserError

BUDGET = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Scores held at a time. 8 MiB of float64 stay in a CPU's cache; a GPU wants few, large steps."""
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


def top_k(
    query_BD: Tensor,
    item_ID: Tensor,
    *,
    k: int,
    user_B: Tensor | None = None,
    masked: ItemSets | None = None,
    block: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The k best items of each query by inner product, out of the whole catalogue.

    Args:
        query_BD: One vector a query, float32.
        item_ID: One vector an item, float32.
        k: Length of the lists; a catalogue of fewer items fills the rest with NOTHING.
        user_B: Whose query it is; needed with `masked`.
        masked: Items that must not be in a user's list.
        block: Queries at a time; by default as many as BUDGET has room for. The result does not depend on it.

    Returns:
        item_BK int64, best first, NOTHING where no item is left; score_BK float32, -inf there.

    Raises:
        UserError: A vector holds NaN or infinity.

    Example:
        >>> items = torch.tensor([[1.0], [3.0], [3.0]])
        >>> top_k(torch.ones(1, 1), items, k=2)[0].tolist()
        [[1, 2]]
    """
    if not (bool(query_BD.isfinite().all()) and bool(item_ID.isfinite().all())):
        raise UserError(
            "the vectors of the candidate generator hold NaN or infinity: its training diverged",
            cure="lower train.retriever.optimizer.rate",
        )
    size = block or max(1, BUDGET.get(item_ID.device.type, BUDGET["cpu"]) // max(1, len(item_ID)))
    catalogue_DI = item_ID.to(torch.float64).T.contiguous()
    found = []
    for start in range(0, len(query_BD), size):
        key_BI = _keys(query_BD[start : start + size].to(torch.float64) @ catalogue_DI)
        if masked is not None and user_B is not None:
            row, item = masked.pairs(user_B[start : start + size])
            key_BI[row, item] = _MASKED
        found.append(torch.topk(key_BI, min(k, len(item_ID)), dim=1).values)
    key_BK = torch.cat(found) if found else torch.zeros(0, k, dtype=torch.int64, device=query_BD.device)
    key_BK = torch.nn.functional.pad(key_BK, (0, k - key_BK.shape[1]), value=_MASKED)
    return _read(key_BK)


_LOW = (1 << 32) - 1
_MASKED = -(1 << 63)
"""Below the key of every score."""


def _keys(score_BI: Tensor) -> Tensor:
    """Integers that order like (score rounded to float32, then smaller item first), all distinct in a row.

    The bits of an IEEE float order like a signed integer once the magnitude bits of negative numbers are flipped.
    """
    bits_BI = score_BI.to(torch.float32).add_(0.0).view(torch.int32)  # -0.0 + 0.0 is 0.0
    rising_BI = (bits_BI >> 31).bitwise_and_(0x7FFFFFFF).bitwise_xor_(bits_BI)
    tie_I = _LOW - torch.arange(score_BI.shape[1], device=score_BI.device)
    return rising_BI.to(torch.int64).bitwise_left_shift_(32).bitwise_or_(tie_I)


def _read(key_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Undo `_keys`."""
    rising = (key_BK >> 32).to(torch.int32)
    score_BK = torch.where(rising < 0, rising ^ 0x7FFFFFFF, rising).view(torch.float32)
    gone = key_BK == _MASKED
    item_BK = (_LOW - (key_BK & _LOW)).masked_fill(gone, NOTHING)
    return item_BK, score_BK.masked_fill(gone, float("-inf"))
