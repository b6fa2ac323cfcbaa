"""SASRec: a causal Transformer over what a user met.

Source: Kang & McAuley, 2018, Self-Attentive Sequential Recommendation; with norms in front of the blocks, and the
whole catalogue in the loss (Klenitskiy & Vasilev, 2023, Turning Dross Into Gold Loss) instead of one negative.
"""

from __future__ import annotations

from math import sqrt
from typing import Annotated, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from train.jagged import Jagged
from train.layers.padded import Grid
from train.layers.positions import Positions
from train.layers.transformer import Transformer
from train.models.next_item.base import Encoder, ItemTable, NextItemModel
from train.models.sizes import Width


class TransformerModel(NextItemModel):
    """Settings of a next-item model of Transformer blocks.

    Attributes:
        blocks: Transformer blocks.
        heads: Attention heads of each, a divisor of `embedding_dim`.
        hidden: Width between the two layers of a block; None: that of the vectors.
    """

    blocks: Annotated[int, Field(gt=0)] = 2
    heads: Annotated[int, Field(gt=0)] = 1
    hidden: Width | None = None

    @model_validator(mode="after")
    def _heads_fit(self) -> TransformerModel:
        if self.embedding_dim % self.heads:
            nearest = max(heads for heads in range(1, self.heads) if self.embedding_dim % heads == 0)
            told = f"heads must divide embedding_dim, got {self.heads} heads of {self.embedding_dim} dimensions"
            raise ValueError(f"{told}; set heads to {nearest}")
        return self

    def transformer(self, *, causal: bool) -> Transformer:
        """The blocks."""
        return Transformer(
            self.embedding_dim,
            blocks=self.blocks,
            heads=self.heads,
            hidden=self.hidden or self.embedding_dim,
            dropout=self.dropout,
            causal=causal,
        )


class SasRecSpec(TransformerModel):
    """Settings of SASRec."""

    kind: Literal["sasrec"] = "sasrec"

    def encoder(self, items: ItemTable) -> Encoder:
        """Blocks in which each item sees the older ones alone."""
        return _SasRec(items, self.transformer(causal=True), longest=self.longest, dropout=self.dropout)


class _SasRec(Encoder):
    """Items and positions -> blocks."""

    def __init__(self, items: ItemTable, transformer: Transformer, *, longest: int, dropout: float) -> None:
        super().__init__(items, longest=longest)
        self.positions = Positions(longest, items.width)
        self.transformer, self.dropout = transformer, nn.Dropout(dropout)

    def states(self, lists: Jagged) -> Tensor:
        """See `Encoder.states`."""
        y_JE: Tensor = self.transformer(self._placed(lists), Grid.of(lists, longest=self.longest))
        return y_JE

    def final(self, lists: Jagged) -> Tensor:
        """See `Encoder.final`."""
        recent = lists.last(self.longest)
        return self.transformer.newest(self._placed(recent), Grid.of(recent, longest=self.longest))

    def _placed(self, lists: Jagged) -> Tensor:
        """Items and where they stand."""
        x_JE: Tensor = self.dropout(self.items(lists.values_J) * sqrt(self.items.width) + self.positions(lists))
        return x_JE
