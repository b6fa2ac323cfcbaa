"""Exact ranking of the whole catalogue, in blocks of users.

Shapes: I items, D dimensions, B queries, K list length.

A score is the inner product of two float32 vectors, computed in float64 and rounded to float32. The products of
float32 numbers are exact in float64, so the rounding no longer depends on how the sum was blocked: every block
size and every device gives the same scores, and items with equal vectors tie exactly. Ties go to the item with
the smaller index.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.errors import UserError
from train.evaluation.shortlist import SPARE, Shortlist, shortlists
from train.item_sets import NOTHING, ItemSets

BUDGET = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Scores held at a time. 8 MiB of float64 stay in a CPU's cache; a GPU wants few, large steps."""


@torch.no_grad()
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
    require_finite(query_BD, item_ID)
    if not len(query_BD):
        return torch.zeros(0, k, dtype=torch.int64), torch.zeros(0, k)
    if len(item_ID) <= k + SPARE:
        return _by_rows(query_BD, item_ID, k=k, user_B=user_B, masked=masked, block=block)
    found, open_rows, exact_ID = [], [], item_ID.to(torch.float64)
    for short in shortlists(query_BD, item_ID, k=k, user_B=user_B, masked=masked, block=block):
        found.append(_judged(query_BD, exact_ID, short, k))
        open_rows.append(short.start + short.whole_B.nonzero().squeeze(1))
    item_BK, score_BK = _read(torch.cat(found))
    rows = torch.cat(open_rows)
    if len(rows):
        user_R = None if user_B is None else user_B[rows]
        whole = _by_rows(query_BD[rows], item_ID, k=k, user_B=user_R, masked=masked, block=block)
        item_BK[rows], score_BK[rows] = whole
    return item_BK, score_BK


def require_finite(query_BD: Tensor, item_ID: Tensor) -> None:
    """Check that vectors hold numbers.

    Raises:
        UserError: One of them is NaN or infinite.
    """
    if not (bool(query_BD.isfinite().all()) and bool(item_ID.isfinite().all())):
        raise UserError(
            "the vectors of the candidate generator hold NaN or infinity: its training diverged",
            cure="lower train.retriever.optimizer.rate",
        )


def _judged(query_BD: Tensor, exact_ID: Tensor, short: Shortlist, k: int) -> Tensor:
    """Keys of the k best of a shortlist, by exact scores."""
    query_BD = query_BD[short.start : short.start + len(short.item_BC)].to(torch.float64)
    item_N = short.item_BC.clamp(max=len(exact_ID) - 1).flatten()
    item_BCD = exact_ID.index_select(0, item_N).view(*short.item_BC.shape, -1)
    score_BC = torch.bmm(item_BCD, query_BD.unsqueeze(2)).squeeze(2)
    key_BC = keys(score_BC, short.item_BC).masked_fill_(~short.there_BC, _MASKED)
    return torch.topk(key_BC, k, dim=1).values


def _by_rows(
    query_BD: Tensor, item_ID: Tensor, *, k: int, user_B: Tensor | None, masked: ItemSets | None, block: int | None
) -> tuple[Tensor, Tensor]:
    """The k best items of each query by the exact scores of all items."""
    catalogue_DI = item_ID.to(torch.float64).T.contiguous()

    def score(start: int, stop: int) -> Tensor:
        return query_BD[start:stop].to(torch.float64) @ catalogue_DI

    size = block or block_size(len(item_ID), item_ID.device)
    return best(score, rows=len(query_BD), k=k, user_B=user_B, masked=masked, block=size)


def block_size(items: int, device: torch.device) -> int:
    """Queries whose scores for so many items are held at a time."""
    return max(1, BUDGET.get(device.type, BUDGET["cpu"]) // max(1, items))


def best(
    score: Callable[[int, int], Tensor],
    *,
    rows: int,
    k: int,
    block: int,
    user_B: Tensor | None = None,
    masked: ItemSets | None = None,
) -> tuple[Tensor, Tensor]:
    """The k best items of each query by scores that are made block by block; otherwise as `top_k`.

    Args:
        score: Gives the scores of the queries `start` to `stop`, for every item.
        rows: Number of queries, at least one.
        k: Length of the lists.
        block: Queries at a time.
        user_B: Whose query it is; needed with `masked`.
        masked: Items that must not be in a user's list.
    """
    found = []
    for start in range(0, rows, block):
        score_BI = score(start, min(start + block, rows))
        key_BI = keys(score_BI, torch.arange(score_BI.shape[1], device=score_BI.device))
        if masked is not None and user_B is not None:
            row, item = masked.pairs(user_B[start : start + block])
            key_BI[row, item] = _MASKED
        found.append(torch.topk(key_BI, min(k, key_BI.shape[1]), dim=1).values)
    key_BK = torch.cat(found)
    key_BK = torch.nn.functional.pad(key_BK, (0, k - key_BK.shape[1]), value=_MASKED)
    return _read(key_BK)


_LOW = (1 << 32) - 1
_MASKED = -(1 << 63)
"""Below the key of every score."""


def keys(score_BI: Tensor, item: Tensor) -> Tensor:
    """Integers that order like (score rounded to float32, then smaller item first), all distinct in a row.

    `item` numbers the items: [I], or [B, I] where each row has its own.

    The bits of an IEEE float order like a signed integer once the magnitude bits of negative numbers are flipped.
    """
    bits_BI = score_BI.to(torch.float32).add_(0.0).view(torch.int32)  # -0.0 + 0.0 is 0.0
    rising_BI = (bits_BI >> 31).bitwise_and_(0x7FFFFFFF).bitwise_xor_(bits_BI)
    return rising_BI.to(torch.int64).bitwise_left_shift_(32).bitwise_or_(_LOW - item)


def _read(key_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Undo `keys`."""
    rising = (key_BK >> 32).to(torch.int32)
    score_BK = torch.where(rising < 0, rising ^ 0x7FFFFFFF, rising).view(torch.float32)
    gone = key_BK == _MASKED
    item_BK = (_LOW - (key_BK & _LOW)).masked_fill(gone, NOTHING)
    return item_BK, score_BK.masked_fill(gone, float("-inf"))
