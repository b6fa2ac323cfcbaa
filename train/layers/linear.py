"""A linear function of one-hot ids and continuous features: the wide part.

Shapes: B rows, F categorical features, D continuous features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.batch import Features
from train.layers.embedding import FusedEmbedding


class SparseLinear(nn.Module):
    """A weight an id, a weight a continuous feature and a bias; all start at zero."""

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))
        self.ids = FusedEmbedding(features.cardinalities, 1) if features.categorical else None
        self.dense_D = nn.Parameter(torch.zeros(len(features.continuous))) if features.continuous else None
        if self.ids is not None:
            nn.init.zeros_(self.ids.weight)

    def forward(self, ids_BF: Tensor, dense_BD: Tensor) -> Tensor:
        """Ids and continuous features -> logit_B."""
        logit_B = self.bias.expand(ids_BF.shape[0])
        if self.ids is not None:
            logit_B = logit_B + self.ids(ids_BF).sum((1, 2))
        if self.dense_D is not None:
            logit_B = logit_B + dense_BD @ self.dense_D
        return logit_B
