"""Transformer blocks over jagged lists: everything but attention works on the elements alone.

Shapes: B lists, L places of the padded grid, J elements of all lists together, E width, H heads, D width of a head.
"""

from __future__ import annotations

from torch import Tensor, nn

from train.layers.attention import attended
from train.layers.mlp import linear
from train.layers.padded import Grid


class Attention(nn.Module):
    """Multi-head self-attention within each list (Vaswani et al., 2017).

    Args:
        width: E.
        heads: H, a divisor of the width.
        causal: Each element sees itself and what is older; otherwise the whole list.
    """

    def __init__(self, width: int, *, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.inputs = linear(width, 3 * width)
        self.output = linear(width, width)

    def forward(self, x_JE: Tensor, grid: Grid) -> Tensor:
        """x_JE -> y_JE."""
        qkv_BLE = grid.spread(self.inputs(x_JE))
        qkv_BL3HD = qkv_BLE.view(-1, grid.length, 3, self.heads, x_JE.shape[1] // self.heads)
        query, key, value = qkv_BL3HD.permute(2, 0, 3, 1, 4).unbind(0)
        # Padding lies behind the elements, so a causal model never sees it.
        found_BHLD = attended(query, key, value, None if self.causal else grid.there[:, None, None, :])
        y_JE: Tensor = self.output(grid.gather(found_BHLD.transpose(1, 2).flatten(2)))
        return y_JE


class Block(nn.Module):
    """Attention and two fully connected layers, each over normalised inputs and added to what came in.

    Norms in front (Xiong et al., 2020) need no warm-up; dropout falls on what is added.

    Args:
        width: E.
        heads: Attention heads.
        hidden: Width between the two layers.
        dropout: Share left out in training.
        causal: See `Attention`.
    """

    def __init__(self, width: int, *, heads: int, hidden: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.before_attention, self.before_layers = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, causal=causal)
        self.layers = nn.Sequential(linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_JE: Tensor, grid: Grid) -> Tensor:
        """x_JE -> y_JE."""
        x_JE = x_JE + self.dropout(self.attention(self.before_attention(x_JE), grid))
        y_JE: Tensor = x_JE + self.dropout(self.layers(self.before_layers(x_JE)))
        return y_JE


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
