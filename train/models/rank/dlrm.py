"""DLRM: inner products of embeddings under a deep network (Naumov et al., 2019).

Shapes: B rows, F categorical features, E embedding width, G vectors that interact.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.fields import Fields
from train.layers.flat import require_features
from train.layers.interaction import DotInteraction
from train.layers.mlp import Mlp
from train.models.rank.base import RankerModel
from train.models.sizes import Dropout, Hidden, Width


class DlrmSpec(RankerModel):
    """Continuous features become one vector; every pair of vectors is multiplied; a deep network reads it all.

    The layer sizes are those that the paper's code and MLPerf use for Criteo.

    Attributes:
        embedding_dim: Width of the embeddings and of the continuous features' vector.
        bottom: Widths of the layers under that vector, which is added as the last layer.
        top: Widths of the layers on top.
        dropout: Share of the top layers' units that training switches off.
    """

    kind: Literal["dlrm"] = "dlrm"
    embedding_dim: Width = 16
    bottom: Hidden = (512, 256)
    top: Hidden = (512, 256)
    dropout: Dropout = 0.0

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features but none."""
        require_features(features)
        return Dlrm(features, width=self.embedding_dim, bottom=self.bottom, top=self.top, dropout=self.dropout)


class Dlrm(nn.Module):
    """The network, Batch -> logit_B. Without continuous features there is no bottom network."""

    def __init__(
        self, features: Features, *, width: int, bottom: tuple[int, ...], top: tuple[int, ...], dropout: float
    ) -> None:
        super().__init__()
        dense, tables = len(features.continuous), len(features.categorical) + len(features.lists)
        self.bottom = Mlp(dense, (*bottom, width)) if dense else None
        self.fields = Fields(features, width=width) if tables else None
        self.interaction = DotInteraction(tables + bool(dense))
        inputs = self.interaction.outputs + (width if dense else 0)
        self.keeps_vectors = inputs == 0
        self.top = Mlp(inputs or width, top, out=1, dropout=dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        dense_BE = None if self.bottom is None else self.bottom(batch.dense_BD)
        # The lookup alone in its line: where it ends a compiled graph, nothing else may be under way.
        vectors = [] if self.fields is None else [self.fields(batch)]
        if dense_BE is not None:
            vectors.insert(0, dense_BE.unsqueeze(1))
        vectors_BGE = torch.cat(vectors, dim=1)
        products_BP = vectors_BGE.flatten(1) if self.keeps_vectors else self.interaction(vectors_BGE)
        top_BI = products_BP if dense_BE is None else torch.cat([dense_BE, products_BP], dim=1)
        logit_B: Tensor = self.top(top_BI).squeeze(1)
        return logit_B
