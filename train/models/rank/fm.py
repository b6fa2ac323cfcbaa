"""Factorisation machine (Rendle, 2010)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.fields import Fields
from train.layers.flat import require_features
from train.layers.fm import START, pair_sum
from train.layers.linear import SparseLinear
from train.models.rank.base import RankerModel
from train.models.sizes import Width


class FmSpec(RankerModel):
    """A weight an id, and for each pair of features the inner product of their vectors (eq. 1).

    The vector of a number is its value times a learned one; that of a list is the mean of its ids', so that ids of one
    list do not meet each other.

    Attributes:
        embedding_dim: Width of the vectors. The paper's figures use 8 to 64; here as deep models have it.
    """

    kind: Literal["fm"] = "fm"
    embedding_dim: Width = 16

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features but none."""
        require_features(features)
        fields = Fields(features, width=self.embedding_dim, numbers="embedded", start=START)
        return Fm(SparseLinear(features), fields)


class Fm(nn.Module):
    """The linear term and the sum over pairs."""

    def __init__(self, linear: SparseLinear, fields: Fields) -> None:
        super().__init__()
        self.linear, self.fields = linear, fields

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        logit_B: Tensor = self.linear(batch) + pair_sum(self.fields(batch))
        return logit_B
