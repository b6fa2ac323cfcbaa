"""DIEN, the deep interest evolution network (Zhou et al., 2019).

Shapes: B rows, J elements of all histories together, E width of an element and of a state, P pairs of neighbours in
a history.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from train.batch import Batch, Features
from train.layers.activated import layers
from train.layers.attention import SoftAttention
from train.layers.dice import Dice
from train.layers.gru import Gru, Steps
from train.layers.history import HistoryInput, Met
from train.models.rank.base import RankerModel
from train.models.sizes import Dropout, Hidden, Width


class DienSpec(RankerModel):
    """How a user's interest in the candidate evolved: a GRU over what was met, and an AUGRU over its states.

    The states of the first learn from what was met next too, by an auxiliary loss in training (eq. 6, 7): each state
    must tell the next element from another, by the sigmoid of the inner product. The other one is drawn from the
    histories of the same batch, so that it is as popular as what people meet, and all its features belong together;
    a draw that is the next element itself does not count. The loss is the mean over pairs of neighbours, so that long
    histories do not outweigh the logloss.

    Attributes:
        embedding_dim: Width of the embeddings.
        hidden: Widths of the deep layers, with Dice behind each.
        dropout: Share of deep units that training switches off.
        longest: Elements of a history that are read, the newest. Each costs a step, one after the other.
        auxiliary: Weight of the auxiliary loss (the paper's alpha); 0: without.
    """

    kind: Literal["dien"] = "dien"
    embedding_dim: Width = 16
    hidden: Annotated[Hidden, Field(min_length=1)] = (200, 80)
    dropout: Dropout = 0.0
    longest: Annotated[int, Field(gt=0)] = 50
    auxiliary: Annotated[float, Field(ge=0.0)] = 1.0

    def build(self, features: Features) -> nn.Module:
        """Make the module.

        Raises:
            UserError: There is no history among the features.
        """
        inputs = HistoryInput(features, width=self.embedding_dim, reader=self.kind, longest=self.longest)
        deep = layers(inputs.outputs + inputs.width, self.hidden, Dice, out=1, dropout=self.dropout)
        return Dien(inputs, deep, auxiliary=self.auxiliary)


class Dien(nn.Module):
    """The last state of an interest's evolution beside all other features under a deep network."""

    def __init__(self, inputs: HistoryInput, deep: nn.Sequential, *, auxiliary: float) -> None:
        super().__init__()
        assert inputs.longest is not None, "the number of steps"
        self.inputs, self.deep, self.longest, self.weight = inputs, deep, inputs.longest, auxiliary
        width = inputs.width
        # Embeddings start small: the norm brings them to the size that gates are made for.
        self.norm = nn.LayerNorm(width)
        self.extraction, self.evolution = Gru(width, width), Gru(width, width)
        self.attention = SoftAttention(width, width)
        self._learned: tuple[Tensor, Met] | None = None

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        met = self.inputs(batch)
        steps = Steps.of(met.lists, longest=self.longest)
        state_ME = self.extraction(steps.spread(self.norm(met.met_JE)), steps)
        state_JE = steps.gather(state_ME)
        weight_J = self.attention(state_JE, met.candidate_BE, met.lists)
        interest_BE = steps.last(self.evolution(state_ME, steps, steps.spread(weight_J.unsqueeze(1))))
        if self.training and self.weight > 0.0:
            self._learned = state_JE, met
        logit_B: Tensor = self.deep(torch.cat([met.x_BI, interest_BE], dim=1)).squeeze(1)
        return logit_B

    def auxiliary(self) -> Tensor | None:
        """The weighted auxiliary loss of the last forward pass in training, once; None: there is none."""
        learned, self._learned = self._learned, None
        return None if learned is None else self.weight * next_met(*learned)


def next_met(state_JE: Tensor, met: Met) -> Tensor:
    """Mean logloss of each state telling what was met next from something else; zero where nobody met two things."""
    lists = met.lists
    before_P = (lists.places() < (lists.sizes - 1)[lists.owners()]).nonzero().squeeze(1)
    after_P = before_P + 1
    other_P = torch.randint(max(1, len(lists.values_J)), (len(before_P),), device=before_P.device)
    state_PE = state_JE.index_select(0, before_P).float()
    right_P = (state_PE * met.met_JE.index_select(0, after_P)).sum(1)
    wrong_P = (state_PE * met.met_JE.index_select(0, other_P)).sum(1)
    differs_P = (lists.values_J[other_P] != lists.values_J[after_P]).float()
    cost_P = functional.softplus(-right_P) + differs_P * functional.softplus(wrong_P)
    return cost_P.sum() / max(1, len(before_P))
