"""Logistic regression: the baseline that every ranker is reported beside."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.linear import SparseLinear
from train.models.rank.base import RankerModel


class LogisticSpec(RankerModel):
    """Logistic regression on one-hot ids and continuous features."""

    kind: Literal["logistic"] = "logistic"

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features, even none."""
        return Logistic(features)


class Logistic(nn.Module):
    """A weight an id, a weight a continuous feature, and a bias."""

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.linear = SparseLinear(features)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        logit_B: Tensor = self.linear(batch)
        return logit_B
