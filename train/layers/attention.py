"""Attention of a candidate to what a user met, on the elements of histories alone.

Shapes: B rows, J elements of all histories together, E width of an element, S width of a state, O units; H heads, L
places of a row of the padded grid, D width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.jagged import Jagged
from train.layers.activated import layers
from train.layers.dice import Dice
from train.layers.mlp import linear
from train.layers.padded import Grid

SHORT = 64
"""Places up to which attention is made of plain products. Torch's fused kernel needs no memory for L x L weights, but
on short rows and under `fast_products` it took up to 15 times as long (1024 rows of 21 places, 2 heads of 16: 0.31 s
against 0.02 s forward and backward)."""


class ActivationUnit(nn.Module):
    """How much each element of a history says about the candidate: DIN's `a(e_j, e_c)` (Zhou et al., 2018, eq. 3).

    A network over `[e_j, e_c, e_j - e_c, e_j * e_c]`, without a softmax over the history: the sum of the weights tells
    how strong the interest is.

    Args:
        width: E.
        hidden: Units of its layers, with `Dice` behind each.

    Example:
        >>> unit = ActivationUnit(8, hidden=(16,)).eval()
        >>> tuple(unit(torch.randn(3, 8), torch.randn(2, 8), Jagged.of([[5, 6], [7]]).owners()).shape)
        (3,)
    """

    def __init__(self, width: int, *, hidden: Sequence[int]) -> None:
        super().__init__()
        self.first = linear(4 * width, hidden[0])
        self.rest = nn.Sequential(Dice(hidden[0]), *layers(hidden[0], hidden[1:], Dice, out=1))

    def forward(self, met_JE: Tensor, candidate_BE: Tensor, owner_J: Tensor) -> Tensor:
        """Elements, candidates and the row of each element -> weight_J."""
        # W [e, c, e - c, e * c] = (W1 + W3) e + W4 (e * c) + (W2 - W3) c: half of the products, and c's once a row.
        met_OE, candidate_OE, less_OE, product_OE = self.first.weight.chunk(4, dim=1)
        candidate_BO = functional.linear(candidate_BE, candidate_OE - less_OE, self.first.bias)
        both_JI = torch.cat([met_JE, met_JE * candidate_BE.index_select(0, owner_J)], dim=1)
        x_JO = functional.linear(both_JI, torch.cat([met_OE + less_OE, product_OE], dim=1))
        weight_J: Tensor = self.rest(x_JO + candidate_BO.index_select(0, owner_J)).squeeze(1)
        return weight_J


class SoftAttention(nn.Module):
    """`softmax_t(h_t W e_c)` over each history: DIEN's attention (Zhou et al., 2019, eq. 11).

    Args:
        states: S.
        width: E, of a candidate.
    """

    def __init__(self, states: int, width: int) -> None:
        super().__init__()
        self.bilinear = linear(width, states, bias=False)

    def forward(self, state_JS: Tensor, candidate_BE: Tensor, lists: Jagged) -> Tensor:
        """States of elements and candidates -> weight_J, which sum to 1 in each history."""
        owner_J = lists.owners()
        asked_JS = self.bilinear(candidate_BE).index_select(0, owner_J)
        return softmax_of_lists((state_JS * asked_JS).sum(1), lists)


class SelfAttention(nn.Module):
    """Multi-head self-attention within each row of a grid (Vaswani et al., 2017).

    Args:
        width: E.
        heads: H, a divisor of the width.
        causal: Each element sees itself and what is older; otherwise the whole row.

    Example:
        >>> grid = Grid.of(Jagged.of([[7, 8], [9]]), longest=5)
        >>> tuple(SelfAttention(8, heads=2)(torch.zeros(3, 8), grid).shape)
        (3, 8)
    """

    def __init__(self, width: int, *, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.inputs, self.output = linear(width, 3 * width), linear(width, width)

    def forward(self, x_JE: Tensor, grid: Grid) -> Tensor:
        """x_JE -> y_JE."""
        query, key, value = self._by_head(grid.spread(self.inputs(x_JE)), 3)
        # Padding lies behind the elements, so a causal model never sees it.
        found_BHLD = attended(query, key, value, None if self.causal else grid.there[:, None, None, :])
        y_JE: Tensor = self.output(grid.gather(found_BHLD.transpose(1, 2).flatten(2)))
        return y_JE

    def newest(self, x_JE: Tensor, newest_BE: Tensor, grid: Grid) -> Tensor:
        """What `forward` gives for the newest element of each row, which sees its whole row: y_BE.

        Args:
            x_JE: All elements.
            newest_BE: The newest of each row; of an empty row anything, whose result is NaN.
            grid: Where elements lie.
        """
        (query_EE, other_EE), (query_E, other_E) = (
            (whole[: newest_BE.shape[1]], whole[newest_BE.shape[1] :])
            for whole in (self.inputs.weight, self.inputs.bias)
        )
        (query,) = self._by_head(functional.linear(newest_BE, query_EE, query_E).unsqueeze(1), 1)
        key, value = self._by_head(grid.spread(functional.linear(x_JE, other_EE, other_E)), 2)
        found_BH1D = attended(query, key, value, grid.there[:, None, None, :])
        y_BE: Tensor = self.output(found_BH1D.transpose(1, 2).flatten(1))
        return y_BE

    def _by_head(self, x_BLE: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Parts that lie side by side, each [B, H, L, D]."""
        length, width = x_BLE.shape[1:]
        return x_BLE.view(-1, length, parts, self.heads, width // parts // self.heads).permute(2, 0, 3, 1, 4).unbind(0)


def attended(query_BHLD: Tensor, key_BHLD: Tensor, value_BHLD: Tensor, seen_B11L: Tensor | None) -> Tensor:
    """`softmax(q k^T / sqrt(D)) v` over the places that are seen: [B, H, L, D].

    Args:
        query_BHLD: What each place asks for; of one place instead of L where it alone asks.
        key_BHLD: What each place answers to.
        value_BHLD: What each place holds.
        seen_B11L: Which places of its row every place sees; None: itself and those in front of it.
    """
    length = query_BHLD.shape[2]
    if length > SHORT:
        causal = seen_B11L is None
        return functional.scaled_dot_product_attention(
            query_BHLD, key_BHLD, value_BHLD, attn_mask=seen_B11L, is_causal=causal
        )
    score_BHLL = (query_BHLD * query_BHLD.shape[3] ** -0.5) @ key_BHLD.transpose(2, 3)
    if seen_B11L is None:
        seen_B11L = torch.ones(length, length, dtype=torch.bool, device=query_BHLD.device).tril()
    return torch.softmax(score_BHLL.masked_fill(~seen_B11L, -torch.inf), dim=3) @ value_BHLD


def softmax_of_lists(score_J: Tensor, lists: Jagged) -> Tensor:
    """A softmax over the elements of each list: [J].

    Example:
        >>> softmax_of_lists(torch.tensor([5.0, 5.0, 900.0]), Jagged.of([[0, 0], [], [0]])).tolist()
        [0.5, 0.5, 1.0]
    """
    owner_J, rows = lists.owners(), lists.offsets_B1.shape[0] - 1
    score_J = score_J.float()
    nothing_B = score_J.new_zeros(rows)
    with torch.no_grad():
        largest_B = nothing_B.scatter_reduce(0, owner_J, score_J, "amax", include_self=False)
    part_J = torch.exp(score_J - largest_B.index_select(0, owner_J))
    total_B = nothing_B.index_add(0, owner_J, part_J)
    return part_J / total_B.index_select(0, owner_J)
