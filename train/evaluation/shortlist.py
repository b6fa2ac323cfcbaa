"""Which items can be among the k best: found in float32, with the bound of its rounding.

Shapes: B queries, I items, D dimensions, G groups of WIDTH neighbouring items, K list length, C items kept.

A float32 product of D terms is off by at most D u |q| |i| / (1 - D u), u = 2^-24, whatever the order of the sum
(Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1). An item that lies further below the k-th
best than twice that can't be among the k best, so the few others alone need the exact score.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from train.item_sets import ItemSets

WIDTH = 32
"""Neighbouring items whose largest score is looked at first: about the root of the items over those kept."""
SPARE = 8
"""Items kept beyond k, for those within the bound."""
BUDGET = {"cpu": 1 << 20, "cuda": 1 << 27}
"""Scores held at a time: 4 MiB stay in a CPU's cache; a GPU wants few, large steps."""
UNIT, SMALLEST, LARGEST = 2.0**-24, 2.0**-126, 2.0**126
_MASKED = float("-inf")


@dataclass(frozen=True)
class Shortlist:
    """The items that can be among the k best of some queries.

    Attributes:
        start: The first of the queries.
        item_BC: At least the k best, in no order; where `there_BC` is false there is none.
        there_BC: Whether the item may be in the list.
        whole_B: Queries that more items have to be looked at for; their row is to be ignored.
    """

    start: int
    item_BC: Tensor
    there_BC: Tensor
    whole_B: Tensor


def shortlists(
    query_BD: Tensor, item_ID: Tensor, *, k: int, user_B: Tensor | None, masked: ItemSets | None, block: int | None
) -> Iterator[Shortlist]:
    """The shortlists of all queries, block by block; the arguments are those of `top_k`, all of them finite.

    The catalogue holds more than k + SPARE items.
    """
    items, dimensions = item_ID.shape
    size = block or max(1, BUDGET.get(item_ID.device.type, BUDGET["cpu"]) // items)
    # A last group that is not full is filled with places that are never taken.
    padded_DI = torch.nn.functional.pad(item_ID, (0, 0, 0, -items % WIDTH)).T.contiguous()
    reach_B = _length(query_BD) * _length(item_ID).max()
    error_B = _error(reach_B, query_BD, item_ID, dimensions)
    room_BI = query_BD.new_empty(min(size, len(query_BD)), padded_DI.shape[1])
    for start in range(0, len(query_BD), size):
        score_BI = room_BI[: len(query_BD) - start]
        with _exactly_float32():
            torch.mm(query_BD[start : start + size], padded_DI, out=score_BI)
        score_BI[:, items:] = _MASKED
        if masked is not None and user_B is not None:
            row, item = masked.pairs(user_B[start : start + size])
            score_BI[row, item] = _MASKED
        # Beyond the range of float32 nothing is known.
        unknown_B = reach_B[start : start + size] >= LARGEST
        yield _shortlist(start, score_BI, error_B[start : start + size], unknown_B, k=k)


def _shortlist(start: int, score_BI: Tensor, error_B: Tensor, unknown_B: Tensor, *, k: int) -> Shortlist:
    rows = len(score_BI)
    groups_BGW = score_BI.view(rows, -1, WIDTH)
    kept = k + SPARE
    best_BG = groups_BGW.amax(dim=2)
    groups = min(kept, best_BG.shape[1])
    # The k best items lie in the k groups with the largest maxima.
    group_BG = torch.topk(best_BG, groups, dim=1, sorted=False).indices
    # Whole groups are copied, which `gather` would do number by number.
    first_B1 = torch.arange(rows, device=group_BG.device).unsqueeze(1) * groups_BGW.shape[1]
    near_BN = groups_BGW.flatten(0, 1).index_select(0, (group_BG + first_B1).flatten()).view(rows, -1)
    top_BC, place_BC = torch.topk(near_BN, kept, dim=1)
    item_BC = group_BG.gather(1, place_BC // WIDTH) * WIDTH + place_BC % WIDTH
    floor_B = top_BC[:, k - 1].to(torch.float64) - 2.0 * error_B
    # What was not kept is no better than the last that was: as many groups were taken, each with an item no worse than
    # the best of any group that was left.
    last_B = top_BC[:, -1]
    beyond_B = (last_B >= floor_B) & (last_B > _MASKED)
    return Shortlist(start, item_BC, top_BC > _MASKED, beyond_B | unknown_B)


def _length(vector_BD: Tensor) -> Tensor:
    """Euclidean length in float64, in which no square overflows."""
    length_B: Tensor = torch.linalg.vector_norm(vector_BD.to(torch.float64), dim=1)
    return length_B


def _error(reach_B: Tensor, query_BD: Tensor, item_ID: Tensor, dimensions: int) -> Tensor:
    """How far a float32 score may lie from the exact one, with room for the rounding of both to float32.

    Numbers below the range of float32 may count as zero: what that moves is the last term.
    """
    terms = dimensions + 4
    largest_B = query_BD.abs().amax(dim=1).to(torch.float64) + item_ID.abs().max().to(torch.float64)
    return reach_B * (terms * UNIT / (1.0 - terms * UNIT)) + 4.0 * terms * SMALLEST * (1.0 + largest_B)


@contextlib.contextmanager
def _exactly_float32() -> Iterator[None]:
    """Inside the block no product is rounded to fewer digits, whatever the training around it allows."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
