"""Matrix factorisation: a vector a user and a vector an item, learned from pairs.

Source: Rendle et al., 2009, BPR: Bayesian Personalized Ranking from Implicit Feedback.

Shapes: B pairs, N items, U users, V dimensions of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from core.dataset import ITEM_INDEX, USER_INDEX
from core.union import ByKind
from train.batch import Batch
from train.layers.embedding import FusedEmbedding
from train.losses.catalogue import CATALOGUE_LOSSES, BprLoss, CatalogueLoss, catalogue_loss
from train.models.retrieve.base import Block, Facts, Reads, Scores, Sizes, Towers, TrainedModel
from train.models.sizes import Width
from train.negatives import NEGATIVES
from train.negatives.base import NegativeSpec
from train.negatives.drawn import UniformNegatives
from train.pairs import ENTITY

Loss = Annotated[CatalogueLoss, ByKind(CATALOGUE_LOSSES, noun="loss")]
Negatives = Annotated[NegativeSpec, ByKind(NEGATIVES, noun="sampler of negatives")]


class MfSpec(TrainedModel):
    """Settings of matrix factorisation; by default BPR as in its paper. `embedding_decay` of the optimizer is its L2.

    Attributes:
        embedding_dim: Dimensions of the vectors.
        loss: What is made smaller.
        negatives: What the own item is compared with.
        unit: Vectors of length one (cosine similarity); then `sampled_softmax` wants a temperature near 0.1.
    """

    kind: Literal["mf"] = "mf"
    reads: ClassVar[frozenset[Reads]] = frozenset({Reads.USER})
    entity_rows: ClassVar[Mapping[str, tuple[Block, ...]]] = {
        "query.table.table.weight": (Block("users", more=1),),
        "item.table.table.weight": (Block("items"),),
    }
    embedding_dim: Width = 64
    loss: Loss = BprLoss()
    negatives: Negatives = UniformNegatives()
    unit: bool = False

    def build(self, sizes: Sizes) -> Towers:
        """Make one row a user, one for somebody new, and one an item."""
        query = Rows(sizes.users + 1, self.embedding_dim, unit=self.unit)
        return Factors(query, Rows(sizes.items, self.embedding_dim, unit=self.unit))

    def objective(self, module: Towers | Scores, facts: Facts) -> Callable[[Batch], Tensor]:
        """Make the loss of a batch of pairs."""
        if not isinstance(module, Factors):
            raise TypeError(f"both sides are trained together, got {type(module).__name__}")
        module.known_U = torch.bincount(facts.pairs.user_P, minlength=facts.pairs.users) > 0
        if (learned := facts.learned.get("query.table.table.weight")) is not None:
            module.known_U |= own_rows(module.query.table.weight, learned)
        sampler = self.negatives.sampler(facts.pairs)

        def loss(batch: Batch) -> Tensor:
            user_B = batch.extra[USER_INDEX]
            return catalogue_loss(
                self.loss,
                sampler,
                query_BV=module.query.of(user_B),
                item_vectors=module.item.of,
                items=facts.pairs.items,
                user_B=user_B,
                own_B=batch.extra[ITEM_INDEX],
            )

        return loss


class Rows(nn.Module):
    """A vector a row of an entity table."""

    def __init__(self, rows: int, width: int, *, unit: bool) -> None:
        super().__init__()
        self.table, self.unit = FusedEmbedding([rows], width), unit

    def of(self, row_N: Tensor) -> Tensor:
        """Rows -> vector_NV."""
        vector_NV = self.table.of(0, row_N)
        return normalize(vector_NV, dim=1) if self.unit else vector_NV

    def forward(self, batch: Batch) -> Tensor:
        """Batch with `extra[ENTITY]` -> vector_BV."""
        return self.of(batch.extra[ENTITY])


class Factors(Towers):
    """Both tables. The row behind the last user's is somebody new: the mean of the users who were trained on."""

    query: Rows
    item: Rows

    def __init__(self, query: Rows, item: Rows) -> None:
        super().__init__(query, item)
        self.known_U: Tensor | None = None

    @torch.no_grad()
    def settle(self) -> None:
        """Give everybody who was not trained on, and somebody new, the mean vector."""
        if self.known_U is not None:
            fill_unknown(self.query.table.weight, self.known_U)


def own_rows(vector_UV: Tensor, learned_U: Tensor) -> Tensor:
    """Which users an earlier run knew: those whose vector it brought and who were not somebody new to it.

    Args:
        vector_UV: A vector a user, and one more: somebody new's.
        learned_U: Which of these rows the earlier run brought.

    Example:
        >>> own_rows(torch.tensor([[1.0], [2.0], [5.0], [2.0]]), torch.tensor([True, True, False, True])).tolist()
        [True, False, False]
    """
    return learned_U[:-1] & (vector_UV[:-1] != vector_UV[-1]).any(dim=1)


def fill_unknown(vector_UV: Tensor, known_U: Tensor) -> None:
    """Set, in place, the vectors of unknown users and the last one, somebody new's, to the mean of the known ones.

    Args:
        vector_UV: A vector a user, and one more.
        known_U: Which users are known.

    Example:
        >>> vectors = torch.tensor([[1.0], [7.0], [3.0], [0.0]])
        >>> fill_unknown(vectors, torch.tensor([True, False, True]))
        >>> vectors.squeeze(1).tolist()
        [1.0, 2.0, 3.0, 2.0]
    """
    # In float64, so that the mean hardly depends on how the sum is cut among threads.
    mean_V = vector_UV[:-1][known_U].to(torch.float64).mean(dim=0).to(vector_UV.dtype)
    vector_UV[:-1][~known_U] = mean_V
    vector_UV[-1] = mean_V
