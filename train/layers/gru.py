"""A recurrent layer over jagged lists, step by step and without padding.

Shapes: B lists, J elements of all lists together, M places of the steps' layout, N rows of a step, E width of an
element, S width of a state, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from train.jagged import Jagged
from train.layers.mlp import linear


@dataclass(frozen=True)
class Steps:
    """The first elements of all lists, then the second ones, and so on; lists by falling length.

    Step t has as many rows as lists have an element t, so nothing is spent on padding. In an exported graph, which
    cannot count, each of `longest` steps has all rows, with zeros behind the elements.

    Attributes:
        place_J: Where each element lies.
        end_B: Where the last element of each list lies; M if there is none.
        counts: Rows of each step; None: all.
        rows: B.
        longest: T, where each step has all rows.

    Example:
        >>> steps = Steps.of(Jagged.of([[7], [], [8, 9]]), longest=5)
        >>> steps.counts, steps.place_J.tolist(), steps.end_B.tolist()
        ((2, 1), [1, 0, 2], [1, 3, 2])
    """

    place_J: Tensor
    end_B: Tensor
    counts: tuple[int, ...] | None
    rows: int
    longest: int

    @classmethod
    def of(cls, lists: Jagged, *, longest: int) -> Steps:
        """The steps of lists that have `longest` elements at most."""
        rows, owner_J, step_J = lists.offsets_B1.shape[0] - 1, lists.owners(), lists.places()
        if torch.compiler.is_exporting():
            place_J, counts, places = step_J * rows + owner_J, None, rows * longest
        else:
            order_B = torch.argsort(lists.sizes, descending=True, stable=True)
            rank_B = torch.empty_like(order_B)
            rank_B[order_B] = torch.arange(rows, device=order_B.device)
            count_T = torch.bincount(step_J)
            place_J = (count_T.cumsum(0) - count_T)[step_J] + rank_B[owner_J]
            counts, places = tuple(count_T.tolist()), step_J.shape[0]
        # One more place, so that an empty list has something to point at.
        place_J1 = torch.cat([place_J, place_J.new_full((1,), places)])
        newest_B = torch.where(lists.sizes > 0, lists.offsets_B1[1:] - 1, step_J.shape[0])
        return cls(place_J, place_J1.index_select(0, newest_B), counts, rows, longest)

    def spread(self, x_JE: Tensor) -> Tensor:
        """Elements by step: [M, E]."""
        places = x_JE.shape[0] if self.counts is not None else self.rows * self.longest
        return x_JE.new_zeros(places, x_JE.shape[1]).index_copy(0, self.place_J, x_JE)

    def gather(self, x_ME: Tensor) -> Tensor:
        """Elements in the order of their lists: [J, E]."""
        return x_ME.index_select(0, self.place_J)

    def last(self, x_ME: Tensor) -> Tensor:
        """The last element of each list, zeros for an empty one: [B, E]."""
        x_M1E = torch.cat([x_ME, x_ME.new_zeros(1, x_ME.shape[1])])
        return x_M1E.index_select(0, self.end_B)


class Gru(nn.Module):
    """A GRU (Cho et al., 2014), or an AUGRU, whose update gate is multiplied by each element's attention.

    `h_t = (1 - a_t u_t) h_{t-1} + a_t u_t tanh(W x_t + r_t * U h_{t-1} + b)`, with the update gate u and the reset
    gate r (Zhou et al., 2019, eq. 2 to 5, 15, 16). What has no attention leaves the state as it is.

    Args:
        width: E.
        states: S.

    Example:
        >>> gru, steps = Gru(4, 3), Steps.of(Jagged.of([[7], [], [8, 9]]), longest=5)
        >>> tuple(gru(steps.spread(torch.randn(3, 4)), steps).shape)
        (3, 3)
    """

    def __init__(self, width: int, states: int) -> None:
        super().__init__()
        self.states = states
        self.inputs, self.before = linear(width, 3 * states), linear(states, 3 * states, bias=False)

    def forward(self, x_ME: Tensor, steps: Steps, attention_M1: Tensor | None = None) -> Tensor:
        """Elements by step -> the state after each, by step: [M, S]."""
        given_M3S = self.inputs(x_ME)
        if attention_M1 is None:
            attention_M1 = given_M3S.new_ones(given_M3S.shape[0], 1)
        if steps.counts is None:
            return self._exported(given_M3S, attention_M1, steps)
        state_MS: Tensor = self._stepped(given_M3S, attention_M1, steps.counts)
        return state_MS

    # How many steps there are, and of how many rows, is another in each batch: nothing that a compiler could keep.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _stepped(self, given_M3S: Tensor, attention_M1: Tensor, counts: tuple[int, ...]) -> Tensor:
        if not counts:
            return given_M3S.new_zeros(0, self.states)
        state_NS, found = given_M3S.new_zeros(counts[0], self.states), []
        parts = (part.split_with_sizes(counts) for part in (given_M3S, attention_M1))
        for given_N3S, attention_N1 in zip(*parts, strict=True):
            state_NS = self._step(state_NS[: len(given_N3S)], given_N3S, attention_N1)
            found.append(state_NS)
        return torch.cat(found)

    def _exported(self, given_M3S: Tensor, attention_M1: Tensor, steps: Steps) -> Tensor:
        """One node of an exported graph, whatever the number of steps."""

        def step(state_BS: Tensor, taken: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            state_BS = self._step(state_BS, *taken)
            return state_BS, state_BS.clone()  # a scan gives no tensor twice

        given_TB3S = given_M3S.view(steps.longest, steps.rows, 3 * self.states)
        attention_TB1 = attention_M1.view(steps.longest, steps.rows, 1)
        state_TBS: Tensor = scan(step, given_M3S.new_zeros(steps.rows, self.states), (given_TB3S, attention_TB1))[1]
        return state_TBS.flatten(0, 1)

    def _step(self, state_NS: Tensor, given_N3S: Tensor, attention_N1: Tensor) -> Tensor:
        update, reset, new = given_N3S.chunk(3, dim=1)
        update_before, reset_before, new_before = self.before(state_NS).chunk(3, dim=1)
        gate_NS = attention_N1 * torch.sigmoid(update + update_before)
        new_NS = torch.tanh(new + torch.sigmoid(reset + reset_before) * new_before)
        return state_NS + gate_NS * (new_NS - state_NS)
