"""DCN-v2: cross layers beside or below a deep network (Wang et al., 2021)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.cross import Activation, Cross, MixtureCross
from train.layers.fields import Numbers
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
        experts: Thin products of each layer, mixed by a gate (the paper's DCN-Mix: 4 of rank 64 to 256). One alone has
            neither a gate nor an `activation`.
        activation: What experts put around their inner matrix.
        hidden: Widths of the deep layers; empty: cross layers alone.
        dropout: Share of deep units that training switches off.
        structure: `parallel`: cross and deep side by side; `stacked`: deep on top of cross.
        numbers: `raw`: continuous features go in as they are, `embedded`: as vectors.
    """

    kind: Literal["dcn_v2"] = "dcn_v2"
    embedding_dim: Width = 16
    cross_layers: Annotated[int, Field(gt=0)] = 3
    rank: Annotated[int, Field(gt=0)] | None = None
    experts: Annotated[int, Field(gt=0)] = 1
    activation: Activation = "tanh"
    hidden: Hidden = (400, 400, 400)
    dropout: Dropout = 0.0
    structure: Literal["parallel", "stacked"] = "parallel"
    numbers: Numbers = "raw"

    @model_validator(mode="after")
    def _experts_are_thin(self) -> DcnV2Spec:
        if self.experts > 1 and self.rank is None:
            raise ValueError(f"{self.experts} experts need a rank; 64 is a good start")
        return self

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features but none."""
        flat = FlatInput(features, width=self.embedding_dim, numbers=self.numbers)
        cross = self._cross(flat.outputs)
        deep = Mlp(flat.outputs, self.hidden, dropout=self.dropout) if self.hidden else None
        return DcnV2(flat, cross, deep, outputs=self._outputs(flat.outputs), stacked=self.structure == "stacked")

    def _cross(self, inputs: int) -> nn.Module:
        layers, rank = self.cross_layers, self.rank
        if rank is None or self.experts == 1:
            return Cross(inputs, layers=layers, rank=rank)
        return MixtureCross(inputs, layers=layers, rank=rank, experts=self.experts, activation=self.activation)

    def _outputs(self, inputs: int) -> int:
        if not self.hidden:
            return inputs
        return self.hidden[-1] + (inputs if self.structure == "parallel" else 0)


class DcnV2(nn.Module):
    """Cross and deep network under one linear layer."""

    def __init__(self, flat: FlatInput, cross: nn.Module, deep: Mlp | None, *, outputs: int, stacked: bool) -> None:
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
