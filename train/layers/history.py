"""What a model reads that attends to histories: the row's features, the candidate, and what the user met before.

Shapes: B rows, J elements of all histories together, H history features, E = H times the width of an embedding,
I inputs of the other features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.errors import UserError
from train.batch import Batch, Features
from train.jagged import Jagged
from train.layers.flat import FlatInput, require_features


@dataclass(frozen=True)
class Met:
    """Embeddings of a batch.

    Attributes:
        x_BI: Of everything but the histories, numbers beside them.
        candidate_BE: Of the candidate, of the features that histories hold.
        met_JE: Of what was met before, of the same features in the same order; oldest first in each history.
        lists: The histories, by the ids of their first feature.
    """

    x_BI: Tensor
    candidate_BE: Tensor
    met_JE: Tensor
    lists: Jagged


class HistoryInput(nn.Module):
    """Looks up the embeddings; those of the candidate and of histories are from the same tables.

    Args:
        features: The columns, some of which are histories (`Features.history`).
        width: Of an embedding.
        reader: What the model is called, for messages.
        longest: Elements of a history that are read, the newest; None: all.

    Raises:
        UserError: There is no history among the features.
    """

    def __init__(self, features: Features, *, width: int, reader: str, longest: int | None = None) -> None:
        super().__init__()
        require_features(features)
        if not features.history:
            raise UserError(
                f"{reader} attends to what a user met, and no feature is a history",
                where="train.ranker.model",
                cure="set train.ranker.history, or take another model, such as mlp",
            )
        self.flat = FlatInput(
            replace(features, lists=tuple(one for one in features.lists if one.of is None)), width=width
        )
        self.names = tuple(one.name for one in features.history)
        self.places = [features.categorical.index(str(one.of)) for one in features.history]
        self.longest = longest
        self.outputs, self.width = self.flat.outputs, width * len(self.names)

    def forward(self, batch: Batch) -> Met:
        """Batch -> its embeddings."""
        vectors_BGE = self.flat.fields(batch)
        candidate_BE = torch.cat([vectors_BGE[:, place] for place in self.places], dim=1)
        every = [batch.lists[name] for name in self.names]
        lists = every if self.longest is None else [one.last(self.longest) for one in every]
        table = self.flat.fields.embedding
        assert table is not None, "a history has the table of a categorical feature"
        met = [table.of(place, one.values_J) for place, one in zip(self.places, lists, strict=True)]
        return Met(self.flat.laid(vectors_BGE, batch), candidate_BE, torch.cat(met, dim=1), lists[0])
