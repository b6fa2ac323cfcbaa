"""Scores from a matrix of items by items: the sum of its rows over the items that a user met.

Shapes: B users, I items, J items that they met, K kept numbers, M numbers that a batch reads, N kept of each item.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from train.batch import Batch
from train.histories import HISTORY
from train.jagged import Jagged
from train.models.retrieve.base import Scores


class DenseItems(Scores):
    """A whole matrix: score_BI = x_BI @ weight_II, where x_BI marks what a user met.

    Args:
        items: Size of the catalogue.
    """

    weight_II: Tensor

    def __init__(self, items: int) -> None:
        super().__init__()
        self.register_buffer("weight_II", torch.zeros(items, items))

    @property
    def items(self) -> int:
        """Size of the catalogue."""
        return len(self.weight_II)

    def forward(self, query: Batch) -> Tensor:
        """Batch with `lists[HISTORY]` -> score_BI."""
        lists, first_J = once(query.lists[HISTORY], len(self.weight_II))
        begin_B = lists.offsets_B1[:-1]
        return embedding_bag(lists.values_J, self.weight_II, begin_B, mode="sum", per_sample_weights=first_J)


class SparseItems(Scores):
    """A matrix of which each column keeps the same number of entries; they lie row by row.

    Args:
        items: Size of the catalogue.
        neighbours: Entries of a column, at most.
    """

    start_I1: Tensor
    item_K: Tensor
    weight_K: Tensor

    def __init__(self, items: int, neighbours: int) -> None:
        super().__init__()
        self.items, self.neighbours = items, kept(items, neighbours)
        size = items * self.neighbours
        self.register_buffer("start_I1", torch.zeros(items + 1, dtype=torch.int64))
        self.register_buffer("item_K", torch.zeros(size, dtype=torch.int32))
        self.register_buffer("weight_K", torch.zeros(size))

    def hold(self, near_IN: Tensor, weight_IN: Tensor) -> None:
        """Take the entries of every column.

        Args:
            near_IN: Their rows: to which items the item of the column is near.
            weight_IN: Their numbers.
        """
        order_K = torch.argsort(near_IN.flatten(), stable=True)
        self.item_K.copy_(order_K // max(1, self.neighbours))
        self.weight_K.copy_(weight_IN.flatten()[order_K])
        self.start_I1[1:] = torch.bincount(near_IN.flatten(), minlength=self.items).cumsum(0)

    def forward(self, query: Batch) -> Tensor:
        """Batch with `lists[HISTORY]` -> score_BI."""
        lists, first_J = once(query.lists[HISTORY], self.items)
        begin_J = self.start_I1[lists.values_J]
        size_J = self.start_I1[lists.values_J + 1] - begin_J
        stop_J = size_J.cumsum(0)
        owner_M = torch.repeat_interleave(torch.arange(len(size_J), device=size_J.device), size_J)
        place_M = torch.arange(len(owner_M), device=size_J.device) + (begin_J - stop_J + size_J)[owner_M]
        weight_M = self.weight_K[place_M] * first_J[owner_M]
        target_M = lists.owners()[owner_M] * self.items + self.item_K[place_M]
        score = weight_M.new_zeros(len(lists) * self.items).index_add(0, target_M, weight_M)
        return score.view(len(lists), self.items)


def once(lists: Jagged, items: int) -> tuple[Jagged, Tensor]:
    """Sort each list, and mark the first of equal elements with 1.0 and the others with 0.0.

    Sums over them then count an item once, and do not depend on the order in which it was met, to the last digit.

    Example:
        >>> lists, first = once(Jagged.of([[7, 2, 7], [2]]), 10)
        >>> lists.values_J.tolist(), first.tolist()
        ([2, 7, 7, 2], [1.0, 1.0, 0.0, 1.0])
    """
    key_J = (lists.owners() * items + lists.values_J).sort().values
    fresh_J = torch.ones_like(key_J, dtype=torch.bool)
    fresh_J[1:] = key_J[1:] != key_J[:-1]
    return lists.replaced(key_J % items), fresh_J.to(torch.float32)


def distinct(lists: Jagged, items: int) -> Jagged:
    """Each list sorted, without what comes again.

    Example:
        >>> distinct(Jagged.of([[7, 2, 7], [2]]), 10).values_J.tolist()
        [2, 7, 2]
    """
    whole, first_J = once(lists, items)
    fresh_J = first_J.to(torch.int64)
    ended_J1 = torch.cat([fresh_J.new_zeros(1), fresh_J.cumsum(0)])
    return Jagged(whole.values_J[first_J > 0], ended_J1[whole.offsets_B1])


def kept(items: int, neighbours: int) -> int:
    """Entries that a column keeps: never the item itself."""
    return max(0, min(neighbours, items - 1))
