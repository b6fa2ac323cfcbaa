"""Deep & Cross, the first one: cross layers of vectors beside a deep network (Wang et al., 2017)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from train.batch import Features
from train.layers.cross import VectorCross
from train.layers.fields import Numbers
from train.layers.flat import FlatInput
from train.layers.mlp import Mlp
from train.models.rank.base import RankerModel
from train.models.rank.dcn_v2 import DcnV2
from train.models.sizes import Dropout, Hidden, Width


class DcnSpec(RankerModel):
    """Cross layers with one vector of weights each, side by side with a deep network.

    Layers as the paper found best on Criteo (section 4.2): 6 of them, beside 1024 x 2. Its embeddings have a width of
    their own each, `6 * ids^(1/4)`; here they share one. It normalises batches in the deep part; here nothing does.

    Attributes:
        embedding_dim: Width of the embeddings.
        cross_layers: Number of cross layers; they cost next to nothing.
        hidden: Widths of the deep layers; empty: cross layers alone.
        dropout: Share of deep units that training switches off.
        numbers: `raw`: continuous features go in as they are, `embedded`: as vectors.
    """

    kind: Literal["dcn"] = "dcn"
    embedding_dim: Width = 16
    cross_layers: Annotated[int, Field(gt=0)] = 6
    hidden: Hidden = (1024, 1024)
    dropout: Dropout = 0.0
    numbers: Numbers = "raw"

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features but none."""
        flat = FlatInput(features, width=self.embedding_dim, numbers=self.numbers)
        cross = VectorCross(flat.outputs, layers=self.cross_layers)
        deep = Mlp(flat.outputs, self.hidden, dropout=self.dropout) if self.hidden else None
        outputs = flat.outputs + (self.hidden[-1] if self.hidden else 0)
        return DcnV2(flat, cross, deep, outputs=outputs, stacked=False)
