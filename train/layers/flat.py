"""The usual input of a deep model: every embedding and every continuous feature in one row.

Shapes: B rows, F categorical features, D continuous features, I = F * width + D inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import UserError
from train.batch import Batch, Features
from train.layers.embedding import FusedEmbedding


class FlatInput(nn.Module):
    """Looks up the embeddings and lays them beside the continuous features."""

    def __init__(self, features: Features, *, width: int) -> None:
        super().__init__()
        require_features(features)
        self.embedding = FusedEmbedding(features.cardinalities, width) if features.categorical else None
        self.outputs = len(features.categorical) * width + len(features.continuous)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> x_BI."""
        if self.embedding is None:
            return batch.dense_BD
        return torch.cat([self.embedding(batch.ids_BF).flatten(1), batch.dense_BD], dim=1)


def require_features(features: Features) -> None:
    """Refuse to build a model on nothing.

    Raises:
        UserError: There is neither a categorical nor a continuous feature.
    """
    if not features.categorical and not features.continuous:
        raise UserError(
            "there are no features to learn from",
            where="etl.features",
            cure="add a feature whose last operator gives ids (categorify) or numbers (normalize)",
        )
