"""Items that an item to be found is compared with under a sampled protocol: frozen by the seed, the user and the item.

A draw depends on nothing else, so it stays when users are added, whatever the number of threads or the block.

Shapes: C cases (a user with one item to be found), I items, N negatives of a case, W draws of a case.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import UserError
from train.evaluation.spec import SampledSpec
from train.item_sets import ItemSets

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
Words = NDArray[np.uint64]
Place = Callable[[Words], NDArray[np.int64]]
"""Random words -> items."""


def draw(user_C: Tensor, item_C: Tensor, *, met: ItemSets, weight_I: Tensor | None, spec: SampledSpec) -> Tensor:
    """Draw different items for each case, none of which its user has met: int64 [C, N] on the CPU.

    Word j of a case is mix(key + j gamma), key = mix(mix(mix(seed) + user) + item), with SplitMix64's mix and gamma
    (Steele, Lea & Flood, 2014). Of a word the upper 32 bits w count: they give item floor(w I / 2^32), or, by weight,
    the item in whose share of the total weight floor(w total / 2^32) lies. The first N that are new and not met are
    taken.

    Args:
        user_C: Rows of users.
        item_C: The item to be found.
        met: Everything that each user met, in any split.
        weight_I: Whole numbers by which items are drawn; None: all alike.
        spec: The protocol.

    Raises:
        UserError: There are not so many items that a user has not met.
    """
    user_C, item_C, met = user_C.cpu(), item_C.cpu(), met.to(torch.device("cpu"))
    weight_I = torch.ones(met.items, dtype=torch.int64) if weight_I is None else weight_I.cpu()
    _require_enough(user_C, met, weight_I > 0, spec)
    place = _placed(weight_I.numpy())
    key_C = _mix(_mix(_mix(np.asarray([spec.seed], dtype=np.uint64)) + _words(user_C)) + _words(item_C))
    found_CN = np.empty((len(user_C), spec.negatives), dtype=np.int64)
    open_O, width = np.arange(len(user_C)), 2 * spec.negatives
    while len(open_O):
        word_OW = _mix(key_C[open_O, None] + np.arange(width, dtype=np.uint64)[None] * _GAMMA)
        item_OW = place(word_OW)
        good_OW = ~met.contain(user_C[open_O], torch.from_numpy(item_OW)).numpy() & _new(item_OW)
        rank_OW = good_OW.cumsum(axis=1)
        full_O = rank_OW[:, -1] >= spec.negatives
        taken_OW = (good_OW & (rank_OW <= spec.negatives))[full_O]
        found_CN[open_O[full_O]] = item_OW[full_O][taken_OW].reshape(-1, spec.negatives)
        open_O, width = open_O[~full_O], 2 * width
    return torch.from_numpy(found_CN)


def _require_enough(user_C: Tensor, met: ItemSets, there_I: Tensor, spec: SampledSpec) -> None:
    left = int((int(there_I.sum()) - met.only(there_I).sizes[user_C]).min()) if len(user_C) else spec.negatives
    if left < spec.negatives:
        known = " and somebody liked in training" if spec.by == "popularity" else ""
        raise UserError(
            f"{spec.negatives} items are to be drawn for each item to be found, and of those that a user has not "
            f"met{known} there are {left}",
            where="evaluate.protocol.negatives",
            cure=f"{f'draw at most {left}, or ' if left else ''}rank the whole catalogue (protocol: full)",
        )


def _placed(weight_I: NDArray[np.int64]) -> Place:
    """Items by weight."""
    end_I = np.cumsum(weight_I).astype(np.int64)
    total = np.uint64(end_I[-1])

    def place(word: Words) -> NDArray[np.int64]:
        # Totals lie below 2^32, so that the product does not overflow.
        share = ((word >> np.uint64(32)) * total) >> np.uint64(32)
        found: NDArray[np.int64] = np.searchsorted(end_I, share.astype(np.int64), side="right")
        return found

    return place


def _new(item_OW: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether an item has not come before in its row."""
    order_OW = np.argsort(item_OW, axis=1, kind="stable")
    sorted_OW = np.take_along_axis(item_OW, order_OW, axis=1)
    first_OW = np.ones_like(item_OW, dtype=np.bool_)
    first_OW[:, 1:] = sorted_OW[:, 1:] != sorted_OW[:, :-1]
    new_OW = np.empty_like(first_OW)
    np.put_along_axis(new_OW, order_OW, first_OW, axis=1)
    return new_OW


def _words(number: Tensor) -> Words:
    return number.numpy().astype(np.uint64)


def _mix(word: Words) -> Words:
    """SplitMix64: the step and the output function."""
    state = word + _GAMMA
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    mixed: Words = state ^ (state >> np.uint64(31))
    return mixed
