"""Caser: convolutions over the few items that a user met last.

Source: Tang & Wang, 2018, Personalized Top-N Sequential Recommendation via Convolutional Sequence Embedding. Left out:
the vector of the user, which somebody new has not, and targets further away than the next item; the loss knows the
whole catalogue.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from train.jagged import Jagged
from train.layers.caser import WindowConvolutions
from train.layers.mlp import linear
from train.models.next_item.base import Encoder, ItemTable, NextItemModel

Filters = Annotated[int, Field(ge=0)]


class CaserSpec(NextItemModel):
    """Settings of Caser.

    Attributes:
        window: Items that a filter can see: the newest of a history.
        horizontal: Horizontal filters of each height up to the window.
        vertical: Vertical filters.
    """

    kind: Literal["caser"] = "caser"
    window: Annotated[int, Field(gt=0)] = 5
    horizontal: Filters = 16
    vertical: Filters = 4

    @model_validator(mode="after")
    def _has_filters(self) -> CaserSpec:
        if not self.horizontal + self.vertical:
            raise ValueError("caser has neither horizontal nor vertical filters; set one of them above 0")
        return self

    def encoder(self, items: ItemTable) -> Encoder:
        """Filters over a window behind each item."""
        return _Caser(items, self)


class _Caser(Encoder):
    """The newest items -> filters -> one fully connected layer."""

    def __init__(self, items: ItemTable, spec: CaserSpec) -> None:
        super().__init__(items, longest=spec.longest)
        self.window = spec.window
        self.norm = nn.LayerNorm(items.width)
        self.filters = WindowConvolutions(spec.window, items.width, horizontal=spec.horizontal, vertical=spec.vertical)
        self.hidden, self.dropout = linear(self.filters.outputs, items.width), nn.Dropout(spec.dropout)
        self.output = linear(items.width, items.width)

    def states(self, lists: Jagged) -> Tensor:
        """See `Encoder.states`."""
        x_JE = self.norm(self.items(lists.values_J))
        y_JE = self.hidden(self.dropout(self.filters(self._windows(lists, x_JE)))).relu()
        state_JE: Tensor = self.output(self.dropout(y_JE))
        return state_JE

    def _windows(self, lists: Jagged, x_JE: Tensor) -> Tensor:
        """The items up to each one, oldest first, zeros where a list has not begun: [J, W, E]."""
        back_W = torch.arange(self.window - 1, -1, -1, device=x_JE.device)
        place_J = torch.ones_like(lists.values_J, dtype=torch.int64).cumsum(0) - 1
        nothing = lists.values_J.shape[0]
        index_JW = torch.where(back_W <= lists.places().unsqueeze(1), place_J.unsqueeze(1) - back_W, nothing)
        longer_JE = torch.cat([x_JE, x_JE.new_zeros(1, x_JE.shape[1])])
        return longer_JE.index_select(0, index_JW.flatten()).view(-1, self.window, x_JE.shape[1])
