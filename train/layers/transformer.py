"""Transformer blocks over jagged lists: everything but attention works on the elements alone.

Shapes: B lists, J elements of all lists together, E width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.layers.attention import SelfAttention
from train.layers.mlp import linear
from train.layers.padded import Grid


class Block(nn.Module):
    """Attention and two fully connected layers, each over normalised inputs and added to what came in.

    Norms in front (Xiong et al., 2020) need no warm-up; dropout falls on what is added.

    Args:
        width: E.
        heads: Attention heads.
        hidden: Width between the two layers.
        dropout: Share left out in training.
        causal: See `SelfAttention`.
    """

    def __init__(self, width: int, *, heads: int, hidden: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.before_attention, self.before_layers = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads=heads, causal=causal)
        self.layers = nn.Sequential(linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_JE: Tensor, grid: Grid) -> Tensor:
        """x_JE -> y_JE."""
        return self._layered(x_JE + self.dropout(self.attention(self.before_attention(x_JE), grid)))

    def newest(self, x_JE: Tensor, newest_B: Tensor, grid: Grid) -> Tensor:
        """The newest element of each list alone, by its number among all elements: y_BE."""
        normal_JE = self.before_attention(x_JE)
        found_BE = self.attention.newest(normal_JE, _rows(normal_JE, newest_B), grid)
        return self._layered(_rows(x_JE, newest_B) + self.dropout(found_BE))

    def _layered(self, x_NE: Tensor) -> Tensor:
        y_NE: Tensor = x_NE + self.dropout(self.layers(self.before_layers(x_NE)))
        return y_NE


class Transformer(nn.Module):
    """Blocks and a last norm.

    Example:
        >>> import torch
        >>> from train.jagged import Jagged
        >>> module = Transformer(8, blocks=2, heads=2, hidden=8, dropout=0.0, causal=True)
        >>> grid = Grid.of(Jagged.of([[7, 8], [9]]), longest=5)
        >>> tuple(module(torch.zeros(3, 8), grid).shape)
        (3, 8)
    """

    def __init__(self, width: int, *, blocks: int, heads: int, hidden: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(width, heads=heads, hidden=hidden, dropout=dropout, causal=causal) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x_JE: Tensor, grid: Grid) -> Tensor:
        """x_JE -> y_JE, normalised."""
        for block in self.blocks:
            x_JE = block(x_JE, grid)
        y_JE: Tensor = self.norm(x_JE)
        return y_JE

    def newest(self, x_JE: Tensor, grid: Grid) -> Tensor:
        """What `forward` gives for the newest element of each list, zeros for an empty list: y_BE.

        Of the others the last block needs keys and values alone, a third of its products where `hidden` is E.
        """
        *earlier, last = self.blocks
        assert isinstance(last, Block)
        for block in earlier:
            x_JE = block(x_JE, grid)
        there_B = grid.sizes_B > 0
        newest_B = torch.where(there_B, grid.sizes_B.cumsum(0) - 1, x_JE.shape[0])
        y_BE: Tensor = self.norm(last.newest(x_JE, newest_B, grid))
        return y_BE.masked_fill(~there_B.unsqueeze(1), 0.0)


def _rows(x_JE: Tensor, row_B: Tensor) -> Tensor:
    """Some rows; the number behind the last gives zeros."""
    return torch.cat([x_JE, x_JE.new_zeros(1, x_JE.shape[1])]).index_select(0, row_B)
