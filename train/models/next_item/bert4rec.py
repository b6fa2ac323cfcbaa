"""BERT4Rec: a Transformer that fills gaps, asked for a gap behind what a user met.

Source: Sun et al., 2019, BERT4Rec; with norms in front of the blocks.
"""

from __future__ import annotations

from math import sqrt
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from train.jagged import Jagged
from train.layers.padded import Grid
from train.layers.positions import SPREAD, Positions
from train.layers.transformer import Transformer
from train.models.next_item.base import Encoder, ItemTable
from train.models.next_item.sasrec import TransformerModel

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Bert4RecSpec(TransformerModel):
    """Settings of BERT4Rec.

    Attributes:
        masked: Chance of each item of a training sequence to be hidden and to be told from the others.
        last: Share of training sequences in which the newest item alone is hidden, as when it is asked for.
    """

    kind: Literal["bert4rec"] = "bert4rec"
    heads: Annotated[int, Field(gt=0)] = 2
    masked: Share = 0.2
    last: Share = 0.2

    def encoder(self, items: ItemTable) -> Encoder:
        """Blocks in which each item sees the whole sequence."""
        transformer = self.transformer(causal=False)
        return _Bert4Rec(items, transformer, self)


class _Bert4Rec(Encoder):
    """Items, gaps and positions -> blocks -> what belongs into the gaps."""

    def __init__(self, items: ItemTable, transformer: Transformer, spec: Bert4RecSpec) -> None:
        super().__init__(items, longest=spec.longest)
        # A training sequence holds what is predicted too: one item more than is read.
        self.positions = Positions(spec.longest + 1, items.width)
        self.gap_E = nn.Parameter(SPREAD * torch.randn(items.width))
        self.transformer, self.dropout = transformer, nn.Dropout(spec.dropout)
        self.masked, self.last = spec.masked, spec.last

    def _placed(self, lists: Jagged, x_JE: Tensor) -> tuple[Tensor, Grid]:
        """Items and gaps, and where they stand."""
        x_JE = self.dropout(x_JE + self.positions(lists))
        return x_JE, Grid.of(lists, longest=self.longest + 1)

    def _scaled(self, item_J: Tensor) -> Tensor:
        """Items at the size that blocks read.

        The gap is not made larger: all predictions move that one vector, which would then grow so fast that what
        attention adds is lost beside it, and training would stand still at what is popular.
        """
        x_JE: Tensor = self.items(item_J) * sqrt(self.items.width)
        return x_JE

    def predictions(self, sequences: Jagged) -> tuple[Tensor, Tensor]:
        """States of the gaps, and what was there; each sequence has one gap at least."""
        hidden_J = self._hidden(sequences)
        x_JE = torch.where(hidden_J.unsqueeze(1), self.gap_E, self._scaled(sequences.values_J))
        chosen_Q = hidden_J.nonzero().squeeze(1)
        return self.transformer(*self._placed(sequences, x_JE)).index_select(0, chosen_Q), sequences.values_J[chosen_Q]

    def _hidden(self, sequences: Jagged) -> Tensor:
        """Which items are gaps: each by chance, or the newest alone."""
        owner_J, device = sequences.owners(), sequences.values_J.device
        newest_J = sequences.places() == sequences.sizes[owner_J] - 1
        only_B = torch.rand(len(sequences), device=device) < self.last
        hidden_J = (torch.rand(len(owner_J), device=device) < self.masked) & ~only_B[owner_J]
        any_B = torch.zeros(len(sequences), dtype=torch.int64, device=device).index_add(0, owner_J, hidden_J.long()) > 0
        return hidden_J | (newest_J & ~any_B[owner_J])

    def final(self, lists: Jagged) -> Tensor:
        """What belongs into a gap behind each list, an empty one too."""
        recent = lists.last(self.longest)
        rows = recent.offsets_B1.shape[0] - 1
        one_more_B1 = recent.offsets_B1 + torch.arange(rows + 1, device=recent.offsets_B1.device)
        place_J = recent.owners() + _count(recent.values_J)
        longer = Jagged(recent.values_J.new_zeros(recent.values_J.shape[0] + rows), one_more_B1)
        x_JE = self.gap_E.expand(longer.values_J.shape[0], -1).index_copy(0, place_J, self._scaled(recent.values_J))
        return self.transformer.newest(*self._placed(longer, x_JE))


def _count(values_J: Tensor) -> Tensor:
    """0, 1, 2, ... for each element."""
    return torch.ones_like(values_J, dtype=torch.int64).cumsum(0) - 1
