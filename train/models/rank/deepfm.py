"""DeepFM (Guo et al., 2017)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.fields import Numbers
from train.layers.flat import FlatInput
from train.layers.fm import START, pair_sum
from train.layers.linear import SparseLinear
from train.layers.mlp import Mlp
from train.models.rank.base import RankerModel
from train.models.sizes import Dropout, Hidden, Width


class DeepFmSpec(RankerModel):
    """A factorisation machine and a deep network that read the same embeddings and add their logits (eq. 1).

    Sizes as in the paper's section 3.1 for Criteo: embeddings of 10, layers of 400 x 3, half of the units dropped.

    Attributes:
        embedding_dim: Width of the embeddings.
        hidden: Widths of the deep layers.
        dropout: Share of deep units that training switches off.
        numbers: `embedded`: a continuous feature is a vector to both parts. `raw`: a number to the deep network and to
            the linear term, and in no pair.
    """

    kind: Literal["deepfm"] = "deepfm"
    embedding_dim: Width = 10
    hidden: Annotated[Hidden, Field(min_length=1)] = (400, 400, 400)
    dropout: Dropout = 0.5
    numbers: Numbers = "embedded"

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features but none."""
        flat = FlatInput(features, width=self.embedding_dim, numbers=self.numbers, start=START)
        deep = Mlp(flat.outputs, self.hidden, out=1, dropout=self.dropout)
        return DeepFm(SparseLinear(features), flat, deep)


class DeepFm(nn.Module):
    """Linear term, pairs and deep network over one lookup."""

    def __init__(self, linear: SparseLinear, flat: FlatInput, deep: Mlp) -> None:
        super().__init__()
        self.linear, self.flat, self.deep = linear, flat, deep

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        vectors_BGE = self.flat.fields(batch)
        deep_B = self.deep(self.flat.laid(vectors_BGE, batch)).squeeze(1)
        logit_B: Tensor = self.linear(batch) + pair_sum(vectors_BGE) + deep_B
        return logit_B
