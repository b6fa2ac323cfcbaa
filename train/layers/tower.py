"""One tower: the features of a user or an item to a vector, ready for ids that training never saw.

Shapes: B rows, F categorical features, D continuous features, R rows of the embedding table, V dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from train.batch import Batch, Features
from train.jagged import pooled
from train.layers.embedding import FusedEmbedding
from train.layers.flat import require_features
from train.layers.mlp import Mlp, linear


class Tower(nn.Module):
    """Features -> vector.

    Without hidden layers the vector is the sum of a linear map of the continuous features and of one embedding a
    categorical feature (Kula, 2015, Metadata Embeddings), that of a list being the mean of its ids'; with them, a
    multi-layer perceptron over all of them laid side by side.

    Each feature has one more id, `unknown`. In training an id that came `n` times gives way to it with probability
    `unknown / (unknown + n)` (Kiperwasser & Goldberg, 2016, section 5), so that it becomes the embedding of a rare id;
    `settle` gives it to each id that never came.

    Args:
        features: What the tower reads.
        width: Dimensions of the vector, and of an embedding.
        hidden: Widths of the hidden layers.
        dropout: Share of hidden units left out in training.
        unit: Give vectors of one length.
        scale: What the vector is multiplied by.
    """

    drop_R: Tensor
    unknown_F: Tensor

    def __init__(
        self,
        features: Features,
        *,
        width: int,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        unit: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        require_features(features)
        sizes = [size + 1 for size in (*features.cardinalities, *(one.cardinality for one in features.lists))]
        self.singles, self.lists = len(features.cardinalities), tuple(one.name for one in features.lists)
        self.unit, self.scale = unit, scale
        self.embedding = FusedEmbedding(sizes, width) if sizes else None
        self.register_buffer("unknown_F", torch.tensor(sizes, dtype=torch.int64) - 1, persistent=False)
        self.register_buffer("drop_R", torch.zeros(sum(sizes)), persistent=False)
        inputs = len(sizes) * width + len(features.continuous)
        self.deep = Mlp(inputs, hidden, out=width, dropout=dropout) if hidden else None
        self.linear = (
            linear(len(features.continuous), width, bias=False) if features.continuous and not hidden else None
        )
        if self.embedding is not None:
            with torch.no_grad():
                self.embedding.weight[self.embedding.offsets_F + self.unknown_F] = 0.0

    def expect(self, count_N: Tensor, entities: Batch, *, unknown: float, learned_R: Tensor | None = None) -> None:
        """Learn how often each id comes in training, from its entities.

        Args:
            count_N: Training pairs of each entity.
            entities: Their features.
            unknown: Weight of the unknown id against the count of an id.
            learned_R: Rows that an earlier run has brought: those that it knew stay as they are when nothing comes.
        """
        if self.embedding is None:
            return
        count_R = torch.zeros_like(self.drop_R, dtype=torch.int64)
        for feature in range(self.singles):
            count_R.index_add_(0, entities.ids_BF[:, feature] + self.embedding.offsets_F[feature], count_N)
        for feature, name in enumerate(self.lists, start=self.singles):
            lists = entities.lists[name]
            count_R.index_add_(0, lists.values_J + self.embedding.offsets_F[feature], count_N[lists.owners()])
        drop_R = unknown / (unknown + count_R.clamp(min=1))
        self.drop_R.copy_(drop_R.masked_fill(count_R == 0, 1.0))
        if learned_R is not None:
            weight_RE = self.embedding.weight.detach()
            known_R = (weight_RE != weight_RE[self._unknown_of_row(self.embedding)]).any(dim=1)
            self.drop_R.masked_fill_((count_R == 0) & learned_R & known_R, 0.0)

    def _unknown_of_row(self, embedding: FusedEmbedding) -> Tensor:
        """The row of the unknown id of each row's feature."""
        return torch.repeat_interleave(embedding.offsets_F + self.unknown_F, self.unknown_F + 1)

    def settle(self) -> None:
        """Give each id that never came the embedding of the unknown id."""
        if self.embedding is None:
            return
        owner_R, never_R = self._unknown_of_row(self.embedding), self.drop_R == 1.0
        with torch.no_grad():
            weight = self.embedding.weight
            weight[never_R] = weight[owner_R[never_R]]

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> vector_BV."""
        vector_BV = self._sum(batch) if self.deep is None else self._deep(batch, self.deep)
        if self.unit:
            vector_BV = normalize(vector_BV, dim=1)
        return vector_BV if self.scale == 1.0 else vector_BV * self.scale

    def _sum(self, batch: Batch) -> Tensor:
        parts = []
        if self.embedding is not None:
            parts.append(self._look_up(batch, self.embedding).sum(dim=1))
        if self.linear is not None:
            parts.append(self.linear(batch.dense_BD))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def _deep(self, batch: Batch, deep: Mlp) -> Tensor:
        parts = [] if self.embedding is None else [self._look_up(batch, self.embedding).flatten(1)]
        vector_BV: Tensor = deep(torch.cat([*parts, batch.dense_BD], dim=1))
        return vector_BV

    def _look_up(self, batch: Batch, embedding: FusedEmbedding) -> Tensor:
        """One vector a feature; of a list the mean of its ids."""
        singles = slice(0, self.singles)
        ids_BF = self._dropped(batch.ids_BF, embedding.offsets_F[singles], self.unknown_F[singles])
        vectors = [embedding(ids_BF)] if self.singles else []
        for feature, name in enumerate(self.lists, start=self.singles):
            lists = batch.lists[name]
            ids_J = self._dropped(lists.values_J, embedding.offsets_F[feature], self.unknown_F[feature])
            vectors.append(pooled(embedding.of(feature, ids_J), lists).unsqueeze(1))
        return vectors[0] if len(vectors) == 1 else torch.cat(vectors, dim=1)

    def _dropped(self, ids: Tensor, offset: Tensor, unknown: Tensor) -> Tensor:
        """In training, with the unknown id in place of some."""
        if not self.training:
            return ids
        drop = self.drop_R[ids + offset]
        return torch.where(torch.rand_like(drop) < drop, unknown, ids)
