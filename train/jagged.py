"""Lists of different lengths end to end, without padding.

Shapes: B lists, J elements of all of them together, L a length that lists are padded to, E width of an element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Jagged:
    """B lists: list b is `values_J[offsets_B1[b] : offsets_B1[b + 1]]`.

    A short list costs as much as its elements, an empty one nothing.

    Attributes:
        values_J: The elements.
        offsets_B1: int64, rising from 0 to J: where each list begins, and where the last one ends.

    Example:
        >>> lists = Jagged.of([[7, 8], [], [9]])
        >>> lists.values_J.tolist(), lists.offsets_B1.tolist(), lists.owners().tolist()
        ([7, 8, 9], [0, 2, 2, 3], [0, 0, 2])
    """

    values_J: Tensor
    offsets_B1: Tensor

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> Jagged:
        """Lists of integers."""
        sizes = torch.tensor([len(one) for one in lists], dtype=torch.int64)
        values = torch.tensor([value for one in lists for value in one], dtype=torch.int64)
        return cls(values, _offsets(sizes))

    @classmethod
    def join(cls, parts: Sequence[Jagged]) -> Jagged:
        """The lists of several, one after the other."""
        sizes = torch.cat([part.sizes for part in parts])
        return cls(torch.cat([part.values_J for part in parts]), _offsets(sizes))

    def __len__(self) -> int:
        return self.offsets_B1.shape[0] - 1

    @property
    def sizes(self) -> Tensor:
        """Number of elements of each list."""
        return self.offsets_B1[1:] - self.offsets_B1[:-1]

    def owners(self) -> Tensor:
        """The list of each element."""
        # ONNX has no repeat_interleave by lengths: count the lists that have ended before each element.
        ends = self.offsets_B1[1:]
        ended_J1 = torch.zeros(self.values_J.shape[0] + 1, dtype=torch.int64, device=ends.device)
        ended_J1 = ended_J1.index_add(0, ends, torch.ones_like(ends))
        return ended_J1.cumsum(0)[:-1]

    def places(self) -> Tensor:
        """The place of each element in its list, from 0."""
        count_J = torch.ones_like(self.values_J, dtype=torch.int64).cumsum(0) - 1
        return count_J - self.offsets_B1[self.owners()]

    def map(self, change: Callable[[Tensor], Tensor]) -> Jagged:
        """The same lists with both tensors changed, as a move to a device does."""
        return Jagged(change(self.values_J), change(self.offsets_B1))

    def replaced(self, values_J: Tensor) -> Jagged:
        """Lists of the same lengths with other elements."""
        return Jagged(values_J, self.offsets_B1)

    def rows(self, start: int, stop: int) -> Jagged:
        """Some lists, as views."""
        offsets = self.offsets_B1[start : stop + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        return Jagged(self.values_J[first:last], offsets - first)

    def pick(self, row_N: Tensor) -> Jagged:
        """Some lists, in the order asked for.

        Example:
            >>> picked = Jagged.of([[7, 8], [], [9]]).pick(torch.tensor([2, 0, 2]))
            >>> picked.values_J.tolist(), picked.sizes.tolist()
            ([9, 7, 8, 9], [1, 2, 1])
        """
        begin_N, end_N = (ends.index_select(0, row_N) for ends in (self.offsets_B1[:-1], self.offsets_B1[1:]))
        sizes_N = end_N - begin_N
        offsets_N1 = _offsets(sizes_N)
        # Never part of an exported graph, so that it may use what ONNX lacks and is three times as fast.
        place_M = torch.repeat_interleave(begin_N - offsets_N1[:-1], sizes_N, output_size=int(offsets_N1[-1]))
        place_M += torch.arange(len(place_M), device=place_M.device)
        return Jagged(self.values_J.index_select(0, place_M), offsets_N1)

    def last(self, most: int) -> Jagged:
        """The last elements of each list, at most so many.

        Example:
            >>> Jagged.of([[7, 8, 9], [5]]).last(2).values_J.tolist()
            [8, 9, 5]
        """
        left_J = (self.sizes[self.owners()] - self.places()) <= most
        return Jagged(self.values_J[left_J], _offsets(self.sizes.clamp(max=most)))

    def padded(self, length: int, *, fill: int = 0) -> tuple[Tensor, Tensor]:
        """The first `length` elements of each list, filled up behind.

        Returns:
            values_BL, and there_BL: which of them are elements.

        Example:
            >>> values_BL, there_BL = Jagged.of([[7, 8], []]).padded(3)
            >>> values_BL.tolist(), there_BL.tolist()
            ([[7, 8, 0], [0, 0, 0]], [[True, True, False], [False, False, False]])
        """
        place_L = torch.arange(length, device=self.values_J.device)
        there_BL = place_L < self.sizes.unsqueeze(1)
        # One more element, so that an index never points behind the last one.
        longer = torch.cat([self.values_J, self.values_J.new_full((1,), fill)])
        nothing = self.values_J.shape[0]
        index_BL = torch.where(there_BL, self.offsets_B1[:-1].unsqueeze(1) + place_L, nothing)
        return longer[index_BL], there_BL


def pooled(element_JE: Tensor, lists: Jagged, *, mean: bool = True) -> Tensor:
    """Sum or mean of the vectors of each list; zero where it is empty: [B, E].

    Args:
        element_JE: One vector an element.
        lists: Which list each belongs to.
        mean: Divide by the number of elements.

    Example:
        >>> pooled(torch.tensor([[1.0], [3.0], [5.0]]), Jagged.of([[0, 0], [], [0]])).tolist()
        [[2.0], [0.0], [5.0]]
    """
    # `len` would make a constant of the number of rows in an exported graph.
    rows = lists.offsets_B1.shape[0] - 1
    total_BE = element_JE.new_zeros(rows, element_JE.shape[1]).index_add(0, lists.owners(), element_JE)
    return total_BE / lists.sizes.clamp(min=1).unsqueeze(1) if mean else total_BE


def _offsets(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
