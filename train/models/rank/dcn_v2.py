"""DCN-v2: cross layers beside or below a deep network (Wang et al., 2021)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.cross import Cross
from train.layers.flat import FlatInput
from train.layers.mlp import Mlp, linear
from train.models.rank.base import RankerModel
from train.models.sizes import Dropout, Hidden, Width


class DcnV2Spec(RankerModel):
    """Cross layers find explicit products of features, the deep network the rest.

    Attributes:
        embedding_dim: Width of the embeddings.
        cross_layers: Number of cross layers; the paper finds two or three enough.
        rank: Inner width of thin cross weights; None: full matrices.
        hidden: Widths of the deep layers; empty: cross layers alone.
        dropout: Share of deep units that training switches off.
        structure: `parallel`: cross and deep side by side; `stacked`: deep on top of cross.
    """

    kind: Literal["dcn_v2"] = "dcn_v2"
    embedding_dim: Width = 16
    cross_layers: Annotated[int, Field(gt=0)] = 3
    rank: Annotated[int, Field(gt=0)] | None = None
    hidden: Hidden = (400, 400, 400)
    dropout: Dropout = 0.0
    structure: Literal["parallel", "stacked"] = "parallel"

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features but none."""
        flat = FlatInput(features, width=self.embedding_dim)
        cross = Cross(flat.outputs, layers=self.cross_layers, rank=self.rank)
        deep = Mlp(flat.outputs, self.hidden, dropout=self.dropout) if self.hidden else None
        return DcnV2(flat, cross, deep, outputs=self._outputs(flat.outputs), stacked=self.structure == "stacked")

    def _outputs(self, inputs: int) -> int:
        if not self.hidden:
            return inputs
        return self.hidden[-1] + (inputs if self.structure == "parallel" else 0)


class DcnV2(nn.Module):
    """Cross and deep network under one linear layer."""

    def __init__(self, flat: FlatInput, cross: Cross, deep: Mlp | None, *, outputs: int, stacked: bool) -> None:
        super().__init__()
        self.flat, self.cross, self.deep, self.stacked = flat, cross, deep, stacked
        self.top = linear(outputs, 1)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        x_BI = self.flat(batch)
        top_BO = self.cross(x_BI)
        if self.deep is not None:
            top_BO = self.deep(top_BO) if self.stacked else torch.cat([top_BO, self.deep(x_BI)], dim=1)
        logit_B: Tensor = self.top(top_BO).squeeze(1)
        return logit_B
