"""Wide & Deep (Cheng et al., 2016)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.fields import Numbers
from train.layers.flat import FlatInput
from train.layers.linear import SparseLinear
from train.models.rank.base import RankerModel
from train.models.rank.mlp import DeepNetwork
from train.models.sizes import Dropout, Hidden, Width


class WideDeepSpec(RankerModel):
    """A linear model and a deep network that add their logits and learn together.

    Sizes as in the paper's figure 4: embeddings of 32, layers 1024, 512, 256.

    Attributes:
        embedding_dim: Width of the embeddings of the deep part.
        hidden: Widths of the deep layers.
        dropout: Share of units that training switches off.
        numbers: `raw`: continuous features go into the deep part as they are, `embedded`: as vectors.
    """

    kind: Literal["wide_deep"] = "wide_deep"
    embedding_dim: Width = 32
    hidden: Annotated[Hidden, Field(min_length=1)] = (1024, 512, 256)
    dropout: Dropout = 0.0
    numbers: Numbers = "raw"

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features but none."""
        flat = FlatInput(features, width=self.embedding_dim, numbers=self.numbers)
        deep = DeepNetwork(flat, hidden=self.hidden, dropout=self.dropout)
        return WideDeep(SparseLinear(features), deep)


class WideDeep(nn.Module):
    """The sum of a wide and a deep logit."""

    def __init__(self, wide: SparseLinear, deep: DeepNetwork) -> None:
        super().__init__()
        self.wide, self.deep = wide, deep

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        logit_B: Tensor = self.wide(batch) + self.deep(batch)
        return logit_B
