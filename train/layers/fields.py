"""The embeddings of a row's features, whatever they hold.

Shapes: B rows, F categorical features, G of them and lists of ids together, E embedding width, J elements of a list.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.batch import Batch, Features
from train.jagged import pooled
from train.layers.embedding import FusedEmbedding


class Fields(nn.Module):
    """One vector a categorical feature, from one table; that of a list is the mean of its ids' vectors.

    An empty list is zero. Elements are looked up end to end, so that nothing is spent on padding, and no result
    depends on how long other lists are.

    Args:
        features: Hold at least one categorical feature, or one of lists.
        width: Of the vectors.

    Example:
        >>> from train.batch import ListFeature
        >>> from train.jagged import Jagged
        >>> fields = Fields(Features(("item",), (3,), (), (ListFeature("genres", 5),)), width=4)
        >>> batch = Batch(torch.tensor([[2], [0]]), torch.empty(2, 0), lists={"genres": Jagged.of([[1, 4], []])})
        >>> tuple(fields(batch).shape)
        (2, 2, 4)
    """

    def __init__(self, features: Features, *, width: int) -> None:
        super().__init__()
        self.names = tuple(one.name for one in features.lists)
        self.singles = len(features.categorical)
        self.embedding = FusedEmbedding([*features.cardinalities, *(one.cardinality for one in features.lists)], width)

    @property
    def count(self) -> int:
        """Vectors a row."""
        return self.singles + len(self.names)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> vectors_BGE."""
        vectors = [self.embedding(batch.ids_BF)] if self.singles else []
        for feature, name in enumerate(self.names, start=self.singles):
            lists = batch.lists[name]
            vectors.append(pooled(self.embedding.of(feature, lists.values_J), lists).unsqueeze(1))
        return vectors[0] if len(vectors) == 1 else torch.cat(vectors, dim=1)
