"""The usual input of a deep model: every embedding and every continuous feature in one row.

Shapes: B rows, F categorical features, D continuous features, L lists of ids, I = (F + L) * width + D inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import UserError
from train.batch import Batch, Features
from train.layers.fields import Fields


class FlatInput(nn.Module):
    """Looks up the embeddings and lays them beside the continuous features."""

    def __init__(self, features: Features, *, width: int) -> None:
        super().__init__()
        require_features(features)
        self.fields = Fields(features, width=width) if features.categorical or features.lists else None
        self.outputs = (len(features.categorical) + len(features.lists)) * width + len(features.continuous)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> x_BI."""
        if self.fields is None:
            return batch.dense_BD
        return torch.cat([self.fields(batch).flatten(1), batch.dense_BD], dim=1)


def require_features(features: Features) -> None:
    """Refuse to build a model on nothing.

    Raises:
        UserError: There is no feature.
    """
    if not features.names:
        raise UserError(
            "there are no features to learn from",
            where="etl.features",
            cure="add a feature whose last operator gives ids (categorify) or numbers (normalize)",
        )
