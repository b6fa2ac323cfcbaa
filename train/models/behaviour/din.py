"""DIN, the deep interest network (Zhou et al., 2018)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from train.batch import Batch, Features
from train.jagged import pooled
from train.layers.activated import layers
from train.layers.attention import ActivationUnit
from train.layers.dice import Dice
from train.layers.history import HistoryInput
from train.models.rank.base import RankerModel
from train.models.sizes import Dropout, Hidden, Width


class DinSpec(RankerModel):
    """What a user met counts as much as it has to do with the candidate: `v = sum_j a(e_j, e_c) e_j` (eq. 3).

    Units as in the paper's figure 2: 36 in the network that makes the weights, 200 and 80 in the one above, Dice behind
    each layer. In which order things were met makes no difference.

    Attributes:
        embedding_dim: Width of the embeddings.
        attention: Widths of the layers that weigh what was met.
        hidden: Widths of the deep layers.
        dropout: Share of deep units that training switches off.
    """

    kind: Literal["din"] = "din"
    embedding_dim: Width = 16
    attention: Annotated[Hidden, Field(min_length=1)] = (36,)
    hidden: Annotated[Hidden, Field(min_length=1)] = (200, 80)
    dropout: Dropout = 0.0

    def build(self, features: Features) -> nn.Module:
        """Make the module.

        Raises:
            UserError: There is no history among the features.
        """
        inputs = HistoryInput(features, width=self.embedding_dim, reader=self.kind)
        unit = ActivationUnit(inputs.width, hidden=self.attention)
        deep = layers(inputs.outputs + inputs.width, self.hidden, Dice, out=1, dropout=self.dropout)
        return Din(inputs, unit, deep)


class Din(nn.Module):
    """The weighted sum of a history beside all other features under a deep network."""

    def __init__(self, inputs: HistoryInput, unit: ActivationUnit, deep: nn.Sequential) -> None:
        super().__init__()
        self.inputs, self.unit, self.deep = inputs, unit, deep

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        met = self.inputs(batch)
        weight_J = self.unit(met.met_JE, met.candidate_BE, met.lists.owners())
        interest_BE = pooled(weight_J.unsqueeze(1) * met.met_JE, met.lists, mean=False)
        logit_B: Tensor = self.deep(torch.cat([met.x_BI, interest_BE], dim=1)).squeeze(1)
        return logit_B
