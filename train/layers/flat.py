"""The usual input of a deep model: every embedding and every continuous feature in one row.

Shapes: B rows, D continuous features, G vectors of a row (`Fields`), E their width, I = G * E inputs, and D more
where numbers stay numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import UserError
from train.batch import Batch, Features
from train.layers.fields import Fields, Numbers


class FlatInput(nn.Module):
    """Looks up the embeddings and lays them beside the continuous features.

    Args:
        features: The columns, at least one.
        width: Of the embeddings.
        numbers: `embedded`: continuous features go in as vectors too (see `Fields`), not as numbers.
        start: What fresh vectors are multiplied by.
    """

    def __init__(self, features: Features, *, width: int, numbers: Numbers = "raw", start: float = 1.0) -> None:
        super().__init__()
        require_features(features)
        self.fields = Fields(features, width=width, numbers=numbers, start=start)
        raw = len(features.continuous) if numbers == "raw" else 0
        self.reads_numbers = raw > 0
        self.outputs = self.fields.count * width + raw

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> x_BI."""
        return self.laid(self.fields(batch), batch)

    def laid(self, vectors_BGE: Tensor, batch: Batch) -> Tensor:
        """What `fields` gave -> x_BI, for a model that reads the vectors in other ways too."""
        if self.fields.count == 0:
            return batch.dense_BD
        x_BI = vectors_BGE.flatten(1)
        return torch.cat([x_BI, batch.dense_BD], dim=1) if self.reads_numbers else x_BI


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
