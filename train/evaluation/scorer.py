"""What ranks the catalogue for some queries: vectors, or a module that scores every item.

Shapes: Q queries, I items, V dimensions of a vector, K list length, C cases (a query each), M items of a case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.errors import UserError
from train.batch import Batch
from train.evaluation.ranking import best, block_size, require_finite, top_k
from train.item_sets import ItemSets
from train.models.retrieve.base import Scores

VALUES = 1 << 22
"""Numbers of item vectors held at a time."""


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

    def scores(self, row_C: Tensor, item_CM: Tensor) -> Tensor:
        """The scores that some queries give some items, float32 [C, M].

        Args:
            row_C: Rows of queries, rising.
            item_CM: Rows of items.
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

    def scores(self, row_C: Tensor, item_CM: Tensor) -> Tensor:
        """See `Scorer.scores`; computed as `top_k` does, in float64.

        Raises:
            UserError: A vector holds NaN or infinity.
        """
        require_finite(self.query_QV, self.item_IV)
        size = max(1, VALUES // max(1, item_CM.shape[1] * self.item_IV.shape[1]))
        found = [
            torch.bmm(self.item_IV[item_BM].to(torch.float64), self.query_QV[row_B].to(torch.float64).unsqueeze(2))
            for row_B, item_BM in zip(torch.split(row_C, size), torch.split(item_CM, size), strict=True)
        ]
        return torch.cat(found).squeeze(2).to(torch.float32)


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

    @torch.inference_mode()
    def scores(self, row_C: Tensor, item_CM: Tensor) -> Tensor:
        """See `Scorer.scores`; a query is scored for every item.

        Raises:
            UserError: A score is NaN or infinite.
        """
        wanted_R, place_C = torch.unique(row_C, return_inverse=True)
        queries, size = self.queries.pick(wanted_R), block_size(self.items, row_C.device)
        found = torch.empty(item_CM.shape, device=row_C.device)
        for start in range(0, len(wanted_R), size):
            score_BI = self._scored(queries.rows(start, start + size))
            # Cases of a block of queries: any number of them.
            here = ((place_C >= start) & (place_C < start + size)).nonzero().squeeze(1)
            found[here] = score_BI[(place_C[here] - start).unsqueeze(1), item_CM[here]].to(torch.float32)
        return found

    def _score(self, start: int, stop: int) -> Tensor:
        return self._scored(self.queries.rows(start, stop))

    def _scored(self, queries: Batch) -> Tensor:
        score_BI: Tensor = self.module(queries)
        if not bool(score_BI.isfinite().all()):
            raise UserError("the candidate generator gives scores that are no numbers", cure="train it again")
        return score_BI
