"""What ranks the catalogue for some queries: vectors, or a module that scores every item.

Shapes: Q queries, I items, V dimensions of a vector, K list length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.errors import UserError
from train.batch import Batch
from train.evaluation.ranking import best, block_size, top_k
from train.item_sets import ItemSets
from train.models.retrieve.base import Scores


class Scorer(Protocol):
    """Ranks the catalogue for Q queries."""

    @property
    def items(self) -> int:
        """Size of the catalogue."""
        ...

    def best(self, k: int, user_Q: Tensor, masked: ItemSets | None) -> Tensor:
        """The k best items of each query, best first; see `top_k`.

        Args:
            k: Length of the lists.
            user_Q: Whose query each is.
            masked: Items that must not be in a user's list.
        """
        ...


@dataclass(frozen=True)
class VectorScorer:
    """By inner products.

    Attributes:
        query_QV: One vector a query, float32.
        item_IV: One vector an item, float32.
    """

    query_QV: Tensor
    item_IV: Tensor

    @property
    def items(self) -> int:
        """Size of the catalogue."""
        return len(self.item_IV)

    def best(self, k: int, user_Q: Tensor, masked: ItemSets | None) -> Tensor:
        """See `Scorer.best`."""
        return top_k(self.query_QV, self.item_IV, k=k, user_B=user_Q, masked=masked)[0]


@dataclass(frozen=True)
class ModuleScorer:
    """By a module that scores every item.

    Attributes:
        module: In evaluation mode.
        queries: What it reads, a row a query.
        items: Size of the catalogue.
    """

    module: Scores
    queries: Batch
    items: int

    @torch.inference_mode()
    def best(self, k: int, user_Q: Tensor, masked: ItemSets | None) -> Tensor:
        """See `Scorer.best`.

        Raises:
            UserError: A score is NaN or infinite.
        """
        device = user_Q.device
        if not len(self.queries):
            return torch.zeros(0, k, dtype=torch.int64, device=device)
        rows, block = len(self.queries), block_size(self.items, device)
        return best(self._score, rows=rows, k=k, block=block, user_B=user_Q, masked=masked)[0]

    def _score(self, start: int, stop: int) -> Tensor:
        score_BI: Tensor = self.module(self.queries.rows(start, stop))
        if not bool(score_BI.isfinite().all()):
            raise UserError("the candidate generator gives scores that are no numbers", cure="train it again")
        return score_BI
