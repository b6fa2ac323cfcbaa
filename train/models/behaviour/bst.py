"""BST, the behaviour sequence transformer (Chen et al., 2019).

Shapes: B rows, J elements of all histories together, N = J + B with the candidates, E width of an element.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from core.errors import UserError
from train.batch import Batch, Features
from train.jagged import pooled
from train.layers.activated import layers
from train.layers.attention import SelfAttention
from train.layers.history import HistoryInput
from train.layers.mlp import linear
from train.layers.padded import Grid
from train.layers.positions import SPREAD
from train.models.rank.base import RankerModel
from train.models.sizes import Dropout, Hidden, Width

Positive = Annotated[int, Field(gt=0)]


class BstSpec(RankerModel):
    """A Transformer over what a user met and the candidate, under a deep network.

    Sizes as in the paper's table 2. An element's position is how many elements ago it was met (the paper takes the time
    that has gone by, whose scale each data set has for itself). The paper lays all states side by side; here the deep
    network reads the candidate's state and the mean of the others, so that nothing depends on padding.

    Attributes:
        embedding_dim: Width of the embeddings; with several features in a history an element is as many times wider.
        blocks: Transformer blocks.
        heads: Attention heads, a divisor of an element's width.
        longest: Elements of a history that are read, the newest.
        hidden: Widths of the deep layers, with LeakyReLU behind each.
        dropout: Share left out in training, of the blocks' outputs and of deep units.
    """

    kind: Literal["bst"] = "bst"
    embedding_dim: Width = 32
    blocks: Positive = 1
    heads: Positive = 8
    longest: Positive = 20
    hidden: Annotated[Hidden, Field(min_length=1)] = (1024, 512, 256)
    dropout: Dropout = 0.2

    def build(self, features: Features) -> nn.Module:
        """Make the module.

        Raises:
            UserError: There is no history among the features, or the heads do not divide the width of an element.
        """
        inputs = HistoryInput(features, width=self.embedding_dim, reader=self.kind, longest=self.longest)
        if inputs.width % self.heads:
            fit = [heads for heads in range(1, inputs.width + 1) if inputs.width % heads == 0]
            raise UserError(
                f"{self.heads} heads do not divide {inputs.width}, the width of {len(inputs.names)} features of "
                f"{self.embedding_dim} each",
                where="train.ranker.model.heads",
                cure=f"take {min(fit, key=lambda heads: abs(heads - self.heads))}, or another embedding_dim",
            )
        blocks = [_Block(inputs.width, heads=self.heads, dropout=self.dropout) for _ in range(self.blocks)]
        deep = layers(inputs.outputs + 2 * inputs.width, self.hidden, _leaky, out=1, dropout=self.dropout)
        return Bst(inputs, blocks, deep, longest=self.longest, dropout=self.dropout)


class Bst(nn.Module):
    """The candidate's state and the mean state of what was met, beside all other features under a deep network."""

    def __init__(
        self, inputs: HistoryInput, blocks: list[_Block], deep: nn.Sequential, *, longest: int, dropout: float
    ) -> None:
        super().__init__()
        self.inputs, self.blocks, self.deep = inputs, nn.ModuleList(blocks), deep
        self.longest = longest
        # Place 0 is the candidate's, place 1 that of what was met last.
        self.ago = nn.Embedding(longest + 1, inputs.width, _weight=SPREAD * torch.randn(longest + 1, inputs.width))
        self.norm, self.dropout = nn.LayerNorm(inputs.width), nn.Dropout(dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        met = self.inputs(batch)
        lists = met.lists
        owner_J, elements = lists.owners(), lists.values_J.shape[0]
        ago_J = lists.sizes.index_select(0, owner_J) - lists.places()
        ago_N = torch.cat([ago_J, torch.zeros_like(lists.sizes)])
        grid = self._grid(ago_J, owner_J, lists.sizes)
        x_NE = self.norm(torch.cat([met.met_JE, met.candidate_BE]) + self.ago(ago_N))
        x_NE = self.dropout(x_NE)
        for block in self.blocks:
            x_NE = block(x_NE, grid)
        state_JE, candidate_BE = x_NE[:elements], x_NE[elements:]
        x_BI = torch.cat([met.x_BI, candidate_BE, pooled(state_JE, lists)], dim=1)
        logit_B: Tensor = self.deep(x_BI).squeeze(1)
        return logit_B

    def _grid(self, ago_J: Tensor, owner_J: Tensor, size_B: Tensor) -> Grid:
        """A row for each candidate, which comes first, and for what was met before it, newest first."""
        length = self.longest + 1
        if not torch.compiler.is_compiling():
            length = 1 + (int(size_B.max()) if len(size_B) else 0)
        first_B = torch.arange(size_B.shape[0], device=size_B.device) * length
        place_J = first_B.index_select(0, owner_J) + ago_J
        return Grid(torch.cat([place_J, first_B]), size_B + 1, length)


class _Block(nn.Module):
    """Self-attention and two layers of 4 E units, each added to what came in and normalised (eq. 4 to 6)."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads=heads)
        self.layers = nn.Sequential(linear(width, 4 * width), _leaky(), nn.Dropout(dropout), linear(4 * width, width))
        self.behind_attention, self.behind_layers = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_NE: Tensor, grid: Grid) -> Tensor:
        """x_NE -> y_NE."""
        x_NE = self.behind_attention(x_NE + self.dropout(self.attention(x_NE, grid)))
        y_NE: Tensor = self.behind_layers(x_NE + self.dropout(self.layers(x_NE)))
        return y_NE


def _leaky(_: int = 0) -> nn.Module:
    return nn.LeakyReLU()
