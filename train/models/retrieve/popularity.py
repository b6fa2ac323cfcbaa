"""Popularity: every user gets what most users liked. The baseline of every candidate generator."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from train.batch import Batch
from train.models.retrieve.base import CountedModel, Facts, Scores, Sizes, Towers
from train.pairs import ENTITY


class PopularitySpec(CountedModel):
    """Number of positive training interactions of an item, as vectors of one dimension: query 1, item its count."""

    kind: Literal["popularity"] = "popularity"

    def build(self, sizes: Sizes) -> Towers:
        """Make towers in which no item has been counted yet."""
        return Towers(_One(), _Counts(sizes.items))

    def fill(self, module: Towers | Scores, facts: Facts) -> None:
        """Count."""
        counts_I = torch.bincount(facts.pairs.item_P, minlength=facts.pairs.items)
        module.load_state_dict({"item.count_I1": counts_I.to(torch.float32).unsqueeze(1)})


class _One(nn.Module):
    """Every user wants the same."""

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> ones_B1."""
        return torch.ones_like(batch.ids_BF[:, :1].sum(dim=1, keepdim=True), dtype=torch.float32)


class _Counts(nn.Module):
    """The counts, by number of the item. Exact in float32 up to 16.7 million."""

    count_I1: Tensor

    def __init__(self, items: int) -> None:
        super().__init__()
        self.register_buffer("count_I1", torch.zeros(items, 1))

    def forward(self, batch: Batch) -> Tensor:
        """Batch with `extra[ENTITY]` -> count_B1."""
        return self.count_I1[batch.extra[ENTITY]]
