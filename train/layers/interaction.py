"""Pairwise products of feature vectors.

Shapes: B rows, G vectors a row, E their width, P = G (G - 1) / 2 pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DotInteraction(nn.Module):
    """The inner product of each unordered pair of distinct vectors of a row (Naumov et al., 2019, section 2.1).

    Example:
        >>> vectors_BGE = torch.tensor([[[1.0, 0.0], [2.0, 3.0], [0.0, 5.0]]])
        >>> DotInteraction(3)(vectors_BGE)
        tensor([[ 2.,  0., 15.]])
    """

    pairs_P: Tensor

    def __init__(self, vectors: int) -> None:
        super().__init__()
        first, second = torch.tril_indices(vectors, vectors, offset=-1)
        self.register_buffer("pairs_P", first * vectors + second, persistent=False)
        self.outputs = vectors * (vectors - 1) // 2

    def forward(self, vectors_BGE: Tensor) -> Tensor:
        """vectors_BGE -> products_BP."""
        products_BGG = vectors_BGE @ vectors_BGE.transpose(1, 2)
        return products_BGG.flatten(1).index_select(1, self.pairs_P)
