"""xDeepFM: a compressed interaction network beside a linear and a deep part (Lian et al., 2018)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.cin import Cin
from train.layers.flat import FlatInput
from train.layers.linear import SparseLinear
from train.layers.mlp import Mlp, linear
from train.models.rank.base import RankerModel
from train.models.sizes import Hidden, Width


class XDeepFmSpec(RankerModel):
    """Products of whole vectors to a chosen degree, plain ids and a deep network add their logits (eq. 9).

    Sizes as in the paper's section 4.1 for Criteo: embeddings of 10, interaction layers of 200 maps, deep layers of
    400; three of the former and two of the latter (figure 6). Its cost lies in `maps`: with 39 features and 200 x 3 a
    row takes ten times the arithmetic of a DCN-v2.

    Attributes:
        embedding_dim: Width of the embeddings.
        maps: Maps of each interaction layer; the degree of a product is their number plus one.
        split: Only half of a layer's maps go into the next one, the other half into the logit.
        hidden: Widths of the deep layers; empty: no deep part, the paper's CIN alone.
    """

    kind: Literal["xdeepfm"] = "xdeepfm"
    embedding_dim: Width = 10
    maps: Annotated[Hidden, Field(min_length=1)] = (200, 200, 200)
    split: bool = True
    hidden: Hidden = (400, 400)

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features but none."""
        flat = FlatInput(features, width=self.embedding_dim, numbers="embedded")
        cin = Cin(flat.fields.count, self.maps, split=self.split)
        deep = Mlp(flat.outputs, self.hidden, out=1) if self.hidden else None
        return XDeepFm(SparseLinear(features), flat, cin, deep)


class XDeepFm(nn.Module):
    """The three parts over one lookup."""

    def __init__(self, wide: SparseLinear, flat: FlatInput, cin: Cin, deep: Mlp | None) -> None:
        super().__init__()
        self.wide, self.flat, self.cin, self.deep = wide, flat, cin, deep
        self.top = linear(cin.outputs, 1, bias=False)  # the linear part has the bias

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        vectors_BGE = self.flat.fields(batch)
        logit_B: Tensor = self.wide(batch) + self.top(self.cin(vectors_BGE)).squeeze(1)
        if self.deep is None:
            return logit_B
        deep_B: Tensor = self.deep(self.flat.laid(vectors_BGE, batch)).squeeze(1)
        return logit_B + deep_B
