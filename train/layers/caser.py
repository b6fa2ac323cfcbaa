"""Convolutions over the newest items of a history.

Shapes: J windows, W items of a window, E width, N filters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WindowConvolutions(nn.Module):
    """Horizontal and vertical filters over windows (Tang & Wang, 2018, section 3.2).

    A horizontal filter of height h looks at h neighbouring items at once and gives its largest answer; there are some
    of every height from 1 to W. A vertical filter is a weighted sum of the W items, dimension by dimension.

    Args:
        window: W.
        width: E.
        horizontal: Horizontal filters of each height.
        vertical: Vertical filters.

    Example:
        >>> convolutions = WindowConvolutions(3, 8, horizontal=2, vertical=4)
        >>> tuple(convolutions(torch.zeros(5, 3, 8)).shape), convolutions.outputs
        ((5, 38), 38)
    """

    def __init__(self, window: int, width: int, *, horizontal: int, vertical: int) -> None:
        super().__init__()
        heights = range(1, window + 1) if horizontal else range(0)
        self.horizontal = nn.ModuleList(nn.Conv1d(width, horizontal, height) for height in heights)
        self.vertical = nn.Linear(window, vertical, bias=False) if vertical else None
        self.outputs = window * horizontal + width * vertical

    def forward(self, x_JWE: Tensor) -> Tensor:
        """Windows -> answers of all filters, [J, outputs]."""
        x_JEW = x_JWE.transpose(1, 2).contiguous()
        found = [filters(x_JEW).relu().amax(dim=2) for filters in self.horizontal]
        if self.vertical is not None:
            found.append(self.vertical(x_JEW).flatten(1))
        return torch.cat(found, dim=1)
