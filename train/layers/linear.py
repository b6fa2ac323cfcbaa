"""A linear function of ids and continuous features: the wide part.

Shapes: B rows, F categorical features, D continuous features.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.fields import Fields


class SparseLinear(nn.Module):
    """A weight an id, a weight a continuous feature and a bias; all start at zero. A list counts with its mean.

    What a user met has weights of its own: that one liked an item says something else than that it is offered.
    """

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))
        features = replace(features, lists=tuple(replace(one, of=None) for one in features.lists))
        self.ids = Fields(features, width=1) if features.categorical or features.lists else None
        self.dense_D = nn.Parameter(torch.zeros(len(features.continuous))) if features.continuous else None
        if self.ids is not None and self.ids.embedding is not None:
            nn.init.zeros_(self.ids.embedding.weight)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        logit_B = self.bias.expand(batch.ids_BF.shape[0])
        if self.ids is not None:
            logit_B = logit_B + self.ids(batch).sum((1, 2))
        if self.dense_D is not None:
            logit_B = logit_B + batch.dense_BD @ self.dense_D
        return logit_B
