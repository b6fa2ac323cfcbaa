"""Vectors of jagged lists laid out as a padded grid, and taken back.

Shapes: B lists, L places of a row of the grid, J elements of all lists together, E width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from train.jagged import Jagged


@dataclass(frozen=True)
class Grid:
    """Where each element of some lists lies in a grid of B rows and L places, filled up behind.

    Attributes:
        place_J: Number of each element's cell, row by row.
        sizes_B: Number of elements of each list.
        length: L.

    Example:
        >>> grid = Grid.of(Jagged.of([[7, 8], [9]]), longest=5)
        >>> cells = grid.spread(torch.tensor([[1.0], [2.0], [3.0]]))
        >>> cells.squeeze(2).tolist(), grid.gather(cells).squeeze(1).tolist()
        ([[1.0, 2.0], [3.0, 0.0]], [1.0, 2.0, 3.0])
    """

    place_J: Tensor
    sizes_B: Tensor
    length: int

    @classmethod
    def of(cls, lists: Jagged, *, longest: int) -> Grid:
        """As long as the longest list, which has `longest` elements at most; in an exported graph always `longest`."""
        length = longest
        if not torch.compiler.is_compiling():
            length = max(1, int(lists.sizes.max())) if len(lists) else 1
        return cls(lists.owners() * length + lists.places(), lists.sizes, length)

    @property
    def there(self) -> Tensor:
        """Which cells hold an element, [B, L]."""
        return torch.arange(self.length, device=self.sizes_B.device) < self.sizes_B.unsqueeze(1)

    def spread(self, x_JE: Tensor) -> Tensor:
        """Elements to cells, zeros behind them: [B, L, E]."""
        rows = self.sizes_B.shape[0]
        cells = x_JE.new_zeros(rows * self.length, x_JE.shape[1]).index_copy(0, self.place_J, x_JE)
        return cells.view(rows, self.length, x_JE.shape[1])

    def gather(self, x_BLE: Tensor) -> Tensor:
        """Cells to elements: [J, E]."""
        return x_BLE.flatten(0, 1).index_select(0, self.place_J)
