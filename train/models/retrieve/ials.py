"""iALS: factors of users and items, each solved exactly in turn.

Shapes: B users, I items, V dimensions, R rows of one side, C columns of the other, L longest list of a block.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from train.batch import Batch
from train.histories import HISTORY
from train.jagged import Jagged
from train.linear_algebra.normal_equations import Penalty, factors
from train.models.retrieve.base import CountedModel, Facts, Reads, Scores, Sizes, Towers
from train.models.retrieve.item_item import distinct
from train.models.sizes import Width
from train.pairs import ENTITY


class IalsSpec(CountedModel):
    """Alternating least squares over every user and item: what was met is to score 1, everything else 0, weakly.

    sum over pairs that met (x_u y_i - 1)^2 + unobserved * sum over all pairs (x_u y_i)^2 + the penalty
    l2 * (met_u + unobserved * items)^exponent |x_u|^2 on each user and the same, with users, on each item.

    A user's vector is solved from the history when it is asked for, so newcomers need no training.

    Source: Hu, Koren, Volinsky, 2008, Collaborative Filtering for Implicit Feedback Datasets; Rendle et al., 2022,
    Revisiting the Performance of iALS on Item Recommendation Benchmarks, equations 1 to 5.

    Attributes:
        embedding_dim: Dimensions of the vectors.
        sweeps: How often users, then items are solved.
        unobserved: Weight of a pair that did not meet, beside 1 of one that did.
        l2: The penalty.
        exponent: How the penalty grows with the number of interactions; 0: the same for all.
    """

    kind: Literal["ials"] = "ials"
    reads: ClassVar[frozenset[Reads]] = frozenset({Reads.HISTORY})
    embedding_dim: Width = 64
    sweeps: Annotated[int, Field(gt=0)] = 16
    unobserved: Annotated[float, Field(gt=0.0)] = 0.1
    l2: Annotated[float, Field(gt=0.0)] = 0.003
    exponent: Annotated[float, Field(ge=0.0)] = 1.0

    def build(self, sizes: Sizes) -> IalsTowers:
        """Make towers with random item vectors, whose length does not depend on the dimensions."""
        vector_IV = torch.randn(sizes.items, self.embedding_dim) * (0.1 / self.embedding_dim**0.5)
        return IalsTowers(vector_IV, self.penalty)

    @property
    def penalty(self) -> Penalty:
        """The terms of the loss that don't depend on the data."""
        return Penalty(self.unobserved, self.l2, self.exponent)

    def fill(self, module: Towers | Scores, facts: Facts) -> None:
        """Solve users and items in turn."""
        if not isinstance(module, IalsTowers):
            raise TypeError(f"ials fills its own towers, got {type(module).__name__}")
        positives = facts.positives
        by_user = Jagged(positives.item_P, positives.start_U)
        by_item = _turned(by_user, items=positives.items)
        vector_IV = module.item.vector_IV
        for _ in range(self.sweeps):
            vector_UV = factors(by_user, vector_IV, self.penalty)
            vector_IV = factors(by_item, vector_UV, self.penalty)
        module.hold(vector_IV)


class IalsTowers(Towers):
    """Item vectors, and a query that is solved with them.

    Args:
        vector_IV: One vector an item.
        penalty: Of the loss.
    """

    query: FoldIn
    item: _ItemVectors

    def __init__(self, vector_IV: Tensor, penalty: Penalty) -> None:
        super().__init__(FoldIn(vector_IV, penalty), _ItemVectors(vector_IV))
        self.register_load_state_dict_post_hook(_share)  # type: ignore[no-untyped-call]

    def hold(self, vector_IV: Tensor) -> None:
        """Take item vectors, for both sides."""
        self.item.vector_IV = self.query.vector_IV = vector_IV


def _share(towers: IalsTowers, _: object) -> None:
    towers.hold(towers.item.vector_IV)


class FoldIn(nn.Module):
    """History -> the vector that the loss wants with the items as they are; nothing met: zero."""

    vector_IV: Tensor

    def __init__(self, vector_IV: Tensor, penalty: Penalty) -> None:
        super().__init__()
        self.register_buffer("vector_IV", vector_IV, persistent=False)  # the item side stores it
        self.penalty = penalty

    @property
    def items(self) -> int:
        """Size of the catalogue."""
        return len(self.vector_IV)

    def forward(self, query: Batch) -> Tensor:
        """Batch with `lists[HISTORY]` -> vector_BV."""
        return factors(distinct(query.lists[HISTORY], len(self.vector_IV)), self.vector_IV, self.penalty)


class _ItemVectors(nn.Module):
    """Vectors by number of the item."""

    vector_IV: Tensor

    def __init__(self, vector_IV: Tensor) -> None:
        super().__init__()
        self.register_buffer("vector_IV", vector_IV)

    def forward(self, batch: Batch) -> Tensor:
        """Batch with `extra[ENTITY]` -> vector_BV."""
        return self.vector_IV[batch.extra[ENTITY]]


def _turned(by_user: Jagged, *, items: int) -> Jagged:
    """The users of each item, from the items of each user."""
    order = torch.argsort(by_user.values_J, stable=True)
    start_I1 = torch.searchsorted(by_user.values_J[order], torch.arange(items + 1, device=order.device))
    return Jagged(by_user.owners()[order], start_I1)
