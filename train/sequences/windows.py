"""Histories cut into sequences of a length that a model can read.

Shapes: U histories, N windows, J elements of all of them together.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.jagged import Jagged


def windows(histories: Jagged, *, most: int, overlap: int) -> Jagged:
    """Cut histories into windows of at most `most` items that share `overlap` items with the one before.

    The newest window of a history is whole and the oldest one takes what is left, so that what comes last has the
    longest past. With an overlap of one, each item but a history's first follows another in exactly one window. A
    history of `overlap` items or fewer has nothing to be cut from and gives no window.

    Args:
        histories: Items, oldest first.
        most: Items of a window, more than `overlap`.
        overlap: Items that two neighbours share.

    Example:
        >>> cut = windows(Jagged.of([[1, 2, 3, 4, 5, 6], [7], [8, 9]]), most=3, overlap=1)
        >>> [cut.rows(n, n + 1).values_J.tolist() for n in range(len(cut))]
        [[1, 2], [2, 3, 4], [4, 5, 6], [8, 9]]
    """
    step = most - overlap
    count_U = -(-(histories.sizes - overlap).clamp(min=0) // step)
    owner_N = torch.repeat_interleave(torch.arange(len(count_U), device=count_U.device), count_U)
    first_U = count_U.cumsum(0) - count_U
    later_N = count_U[owner_N] - 1 - (torch.arange(len(owner_N), device=count_U.device) - first_U[owner_N])
    stop_N = histories.sizes[owner_N] - later_N * step
    begin_N = (stop_N - most).clamp(min=0)
    sizes_N = stop_N - begin_N
    offsets_N1 = torch.cat([sizes_N.new_zeros(1), sizes_N.cumsum(0)])
    empty = Jagged(torch.empty(int(offsets_N1[-1]), device=sizes_N.device), offsets_N1)
    from_N = histories.offsets_B1[:-1][owner_N] + begin_N
    return empty.replaced(histories.values_J[from_N[empty.owners()] + empty.places()])


def inputs_and_next(lists: Jagged) -> tuple[Jagged, Tensor]:
    """All items but the last of each list, and the item that follows each of them.

    Args:
        lists: None of them empty.

    Example:
        >>> before, next_J = inputs_and_next(Jagged.of([[1, 2, 3], [8, 9]]))
        >>> before.values_J.tolist(), before.sizes.tolist(), next_J.tolist()
        ([1, 2, 8], [2, 1], [2, 3, 9])
    """
    size = len(lists.values_J)
    first_J = torch.ones(size, dtype=torch.bool, device=lists.values_J.device)
    last_J = first_J.clone()
    first_J[lists.offsets_B1[:-1]] = False
    last_J[lists.offsets_B1[1:] - 1] = False
    one_less = lists.offsets_B1 - torch.arange(len(lists) + 1, device=lists.offsets_B1.device)
    return Jagged(lists.values_J[last_J], one_less), lists.values_J[first_J]
