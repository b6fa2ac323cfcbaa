"""Two towers: a user vector and an item vector whose inner product ranks.

Source: Yi et al., 2019, Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations.

Shapes: B pairs, C candidates, P training pairs, V dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from core.dataset import ITEM_INDEX, USER_INDEX
from train.batch import Batch, Features
from train.layers.tower import Tower
from train.losses.catalogue import CatalogueLoss, SampledSoftmaxLoss, catalogue_loss
from train.losses.sampled import log_chance, sampled_softmax
from train.models.retrieve.base import Facts, Scores, Sizes, Towers, TrainedModel
from train.models.retrieve.mf import Loss, Negatives
from train.models.sizes import Dropout, Hidden, Width
from train.negatives.base import Sampler
from train.negatives.drawn import InBatchNegatives
from train.pairs import Tables, take
from train.precision import in_float32


class TwoTowerSpec(TrainedModel):
    """Settings of the two towers and of their loss.

    Attributes:
        embedding_dim: Dimensions of the vectors and of the embeddings.
        hidden: Widths of the hidden layers of each tower; none: a vector is the sum of its features' embeddings.
        dropout: Share of hidden units left out in training.
        unknown: How readily a rare id stands in for unknown ones: an id of n training pairs does with probability
            unknown / (unknown + n).
        unit: Vectors of length one (cosine similarity); then choose a temperature near 0.1.
        temperature: What scores are divided by.
        correction: Correct scores in training for how popular a negative is.
        uniform_negatives: Further negatives a batch, drawn evenly from the items that occur in training.
        loss: Another loss; None: the softmax of the source, over the distinct items of the batch and
            `uniform_negatives`, where the other items that a user likes are negatives too.
        negatives: Another sampler, none of whose items that the user likes counts; None: with a `loss` of its own the
            items of the batch.
    """

    kind: Literal["two_tower"] = "two_tower"
    last_rows: ClassVar[int] = 1  # the unknown id of each feature
    embedding_dim: Width = 64
    hidden: Hidden = ()
    dropout: Dropout = 0.0
    unknown: Annotated[float, Field(ge=0.0)] = 1.0
    unit: bool = False
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    correction: bool = True
    uniform_negatives: Annotated[int, Field(ge=0)] = 0
    loss: Loss | None = None
    negatives: Negatives | None = None

    @model_validator(mode="after")
    def _one_kind_of_negatives(self) -> Self:
        if self.uniform_negatives and (self.loss or self.negatives):
            cure = f"leave it out and say negatives: {{kind: mixed, count: {self.uniform_negatives}}}"
            raise ValueError(f"uniform_negatives belongs to the loss that is used without loss and negatives; {cure}")
        return self

    @property
    def dense_layers(self) -> bool:
        """See `TrainedModel.dense_layers`."""
        return bool(self.hidden)

    def build(self, sizes: Sizes) -> Towers:
        """Make the towers.

        Raises:
            UserError: A side has no features.
        """
        return TwoTowers(self._tower(sizes.user, scale=1.0 / self.temperature), self._tower(sizes.item, scale=1.0))

    def _tower(self, features: Features, *, scale: float) -> Tower:
        return Tower(
            features,
            width=self.embedding_dim,
            hidden=self.hidden,
            dropout=self.dropout,
            unit=self.unit,
            scale=scale,
        )

    def objective(self, module: Towers | Scores, facts: Facts) -> Callable[[Batch], Tensor]:
        """Make the loss over in-batch and uniform negatives."""
        if not isinstance(module, TwoTowers):
            raise TypeError(f"two towers are trained together, got {type(module).__name__}")
        pairs, tables, towers = facts.pairs, facts.tables, module
        count_U = torch.bincount(pairs.user_P, minlength=pairs.users)
        count_I = torch.bincount(pairs.item_P, minlength=pairs.items)
        query_R, item_R = (facts.learned.get(f"{side}.embedding.table.weight") for side in ("query", "item"))
        towers.query.expect(count_U, tables.user, unknown=self.unknown, learned_R=query_R)
        towers.item.expect(count_I, tables.item, unknown=self.unknown, learned_R=item_R)
        if self.loss is None and self.negatives is None:
            return _Objective(towers, tables, count_I, uniform=self.uniform_negatives, correct=self.correction)
        loss, sampler = (
            self.loss or SampledSoftmaxLoss(correction=self.correction),
            self.negatives or InBatchNegatives(),
        )
        return _CatalogueObjective(towers, tables, loss, sampler.sampler(pairs))


class TwoTowers(Towers):
    """Towers that share the dimensions of their vectors and nothing else."""

    query: Tower
    item: Tower

    def __init__(self, query: Tower, item: Tower) -> None:
        super().__init__(query, item)

    def settle(self) -> None:
        """Give ids that training never saw the embedding of the unknown id."""
        self.query.settle()
        self.item.settle()


class _Objective:
    """A batch of pairs -> its sampled softmax loss."""

    def __init__(self, towers: TwoTowers, tables: Tables, count_I: Tensor, *, uniform: int, correct: bool) -> None:
        self._towers, self._tables, self._uniform, self._correct = towers, tables, uniform, correct
        self._share_I = count_I.to(torch.float32) / count_I.sum()
        self._known_K = count_I.nonzero().squeeze(1)
        self._even_I = (count_I > 0).to(torch.float32) / len(self._known_K)

    def __call__(self, batch: Batch) -> Tensor:
        user_B, item_B = batch.extra[USER_INDEX], batch.extra[ITEM_INDEX]
        drawn = torch.randint(len(self._known_K), (self._uniform,), device=item_B.device)
        item_C, place = torch.unique(torch.cat([item_B, self._known_K[drawn]]), return_inverse=True)
        query_BV = self._towers.query(take(self._tables.user, user_B))
        item_CV = self._towers.item(take(self._tables.item, item_C))
        log_chance_C = self._log_chance(len(item_B))[item_C] if self._correct else None
        with in_float32(item_B.device):
            return sampled_softmax(query_BV.float() @ item_CV.float().T, place[: len(item_B)], log_chance_C)

    def _log_chance(self, pairs: int) -> Tensor:
        return log_chance(self._share_I, self._even_I, pairs=pairs, uniform=self._uniform)


class _CatalogueObjective:
    """A batch of pairs -> its loss over the negatives of a sampler."""

    def __init__(self, towers: TwoTowers, tables: Tables, loss: CatalogueLoss, sampler: Sampler) -> None:
        self._towers, self._tables, self._loss, self._sampler = towers, tables, loss, sampler

    def __call__(self, batch: Batch) -> Tensor:
        user_B = batch.extra[USER_INDEX]
        return catalogue_loss(
            self._loss,
            self._sampler,
            query_BV=self._towers.query(take(self._tables.user, user_B)),
            item_vectors=self._items,
            items=len(self._tables.item),
            user_B=user_B,
            own_B=batch.extra[ITEM_INDEX],
        )

    def _items(self, item_N: Tensor) -> Tensor:
        """Vectors of items; each is made once."""
        item_C, place_N = torch.unique(item_N, return_inverse=True)
        vector_NV: Tensor = self._towers.item(take(self._tables.item, item_C)).index_select(0, place_N)
        return vector_NV
