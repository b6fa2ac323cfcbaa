"""The embeddings of a row's features, whatever they hold.

Shapes: B rows, F categorical features, D continuous features, E embedding width, J elements of a list, G vectors a
row: of categorical features, of lists of ids, and of numbers where those are embedded.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from train.batch import Batch, Features
from train.jagged import pooled
from train.layers.embedding import FusedEmbedding

Numbers = Literal["raw", "embedded"]
"""What becomes of continuous features: they stay numbers, or each is the length of a learned vector."""


class Fields(nn.Module):
    """One vector a categorical feature, from one table; that of a list is the mean of its ids' vectors.

    A list `of` a feature (see `ListFeature`) reads that feature's rows. An empty list is zero. Elements are looked up
    end to end, so that nothing is spent on padding, and no result depends on how long other lists are.

    Args:
        features: The columns. Those that get no vector are left out; if none does, `count` is 0.
        width: Of the vectors.
        numbers: `embedded`: a continuous feature gets a vector too, its value times a learned one, as a factorisation
            machine needs it (Rendle, 2010, eq. 1). `raw`: it gets none.
        start: What fresh vectors are multiplied by, see `train.layers.fm.START`.

    Example:
        >>> from train.batch import ListFeature
        >>> from train.jagged import Jagged
        >>> fields = Fields(Features(("item",), (3,), (), (ListFeature("genres", 5),)), width=4)
        >>> batch = Batch(torch.tensor([[2], [0]]), torch.empty(2, 0), lists={"genres": Jagged.of([[1, 4], []])})
        >>> tuple(fields(batch).shape)
        (2, 2, 4)
    """

    def __init__(self, features: Features, *, width: int, numbers: Numbers = "raw", start: float = 1.0) -> None:
        super().__init__()
        self.singles, self.width = len(features.categorical), width
        self.tables = tables_of_lists(features)
        sizes = [*features.cardinalities, *(one.cardinality for one in features.lists if one.of is None)]
        self.embedding = FusedEmbedding(sizes, width) if sizes else None
        embedded = len(features.continuous) if numbers == "embedded" else 0
        self.number_DE = nn.Parameter(_fresh(embedded, width)) if embedded else None
        self.count = self.singles + len(self.tables) + embedded
        with torch.no_grad():
            for weight in self.parameters():
                weight.mul_(start)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> vectors_BGE."""
        vectors = self._of_ids(batch)
        if self.number_DE is not None:
            vectors.append(batch.dense_BD.unsqueeze(2) * self.number_DE)
        if not vectors:
            return batch.dense_BD.new_zeros(batch.dense_BD.shape[0], 0, self.width)
        return vectors[0] if len(vectors) == 1 else torch.cat(vectors, dim=1)

    def _of_ids(self, batch: Batch) -> list[Tensor]:
        if self.embedding is None:
            return []
        vectors = [self.embedding(batch.ids_BF)] if self.singles else []
        for name, table in self.tables.items():
            lists = batch.lists[name]
            vectors.append(pooled(self.embedding.of(table, lists.values_J), lists).unsqueeze(1))
        return vectors


def tables_of_lists(features: Features) -> dict[str, int]:
    """The table of each list: that of the feature whose ids it holds, or one of its own behind those of all features.

    Example:
        >>> from train.batch import ListFeature
        >>> lists = (ListFeature("tags", 5), ListFeature("history.item", 9, of="item"), ListFeature("years", 7))
        >>> tables_of_lists(Features(("user", "item"), (4, 9), (), lists))
        {'tags': 2, 'history.item': 1, 'years': 3}
    """
    own = [one.name for one in features.lists if one.of is None]
    first = len(features.categorical)
    return {
        one.name: first + own.index(one.name) if one.of is None else features.categorical.index(one.of)
        for one in features.lists
    }


def _fresh(numbers: int, width: int) -> Tensor:
    """Vectors of numbers start as the row of a table of one id."""
    bound: float = width**-0.5
    return torch.empty(numbers, width).uniform_(-bound, bound)
