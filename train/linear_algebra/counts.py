"""How many users met two items: the rows of X^T X, a strip of items at a time.

Shapes: I items, S items of a strip, P pairs of a user and an item, Q pairs of a chunk, M items beside them, N kept.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from train.evaluation.ranking import best
from train.item_sets import ItemSets

STRIP = 1 << 23
"""Numbers of a strip: 32 MiB of float32."""
CHUNK = 1 << 22
"""Pairs of items that are counted at a time."""


def strips(items: int) -> Iterator[tuple[int, int]]:
    """Cut `items` rows of as many columns into strips: (first row, row behind the last)."""
    rows = max(1, STRIP // max(1, items))
    for start in range(0, items, rows):
        yield start, min(start + rows, items)


def met_together(sets: ItemSets) -> Iterator[tuple[int, Tensor]]:
    """For each strip of items: its first item, and how many users met each of them and each other item.

    Args:
        sets: What each user met.

    Returns:
        (start, count_SI), whole numbers in float32: exact up to 16.7 million users.

    Example:
        >>> sets = ItemSets.of(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 2]), users=2, items=3)
        >>> [(start, count.tolist()) for start, count in met_together(sets)]
        [(0, [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 2.0]])]
    """
    device = sets.item_P.device
    user_P = torch.repeat_interleave(torch.arange(sets.users, device=device), sets.sizes)
    order = torch.argsort(sets.item_P, stable=True)
    user_P, item_P = user_P[order], sets.item_P[order]
    start_I1 = torch.searchsorted(item_P, torch.arange(sets.items + 1, device=device)).tolist()
    for start, stop in strips(sets.items):
        strip = slice(start_I1[start], start_I1[stop])
        yield start, _strip(sets, user_P[strip], item_P[strip] - start, rows=stop - start)


def _strip(sets: ItemSets, user_P: Tensor, row_P: Tensor, *, rows: int) -> Tensor:
    """Add one at (the item of each pair, every item of its user), a chunk of pairs at a time."""
    count_SI = torch.zeros(rows, sets.items, device=row_P.device)
    chunk_P = (sets.sizes[user_P].cumsum(0) - 1) // CHUNK
    lengths = torch.unique_consecutive(chunk_P, return_counts=True)[1].tolist()
    for user_Q, row_Q in zip(torch.split(user_P, lengths), torch.split(row_P, lengths), strict=True):
        pair_M, item_M = sets.pairs(user_Q)
        place_M = row_Q[pair_M] * sets.items + item_M
        count_SI.view(-1).index_add_(0, place_M, count_SI.new_ones(1).expand(len(place_M)))
    return count_SI


def largest(score_SI: Tensor, most: int) -> Tensor:
    """The columns of the `most` largest numbers of each row, the largest first; equal ones by their place: [S, N].

    Example:
        >>> largest(torch.tensor([[1.0, 3.0, 3.0, 2.0]]), 2).tolist()
        [[1, 2]]
    """
    rows = len(score_SI)
    return best(lambda start, stop: score_SI[start:stop], rows=rows, k=most, block=rows)[0]
