"""What tells a model where in a list an element stands.

Shapes: J elements of all lists together, E width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.jagged import Jagged

SPREAD = 0.02
"""Standard deviation of fresh embeddings."""


class Positions(nn.Module):
    """One learned vector a place, counted from the oldest element (Kang & McAuley, 2018, equation 1).

    Args:
        longest: Number of places.
        width: Of a vector.

    Example:
        >>> tuple(Positions(5, 8)(Jagged.of([[7, 8], [9]])).shape)
        (3, 8)
    """

    def __init__(self, longest: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(longest, width, _weight=SPREAD * torch.randn(longest, width))

    def forward(self, lists: Jagged) -> Tensor:
        """Lists -> the vector of each element's place, [J, E]."""
        place_JE: Tensor = self.table(lists.places())
        return place_JE
