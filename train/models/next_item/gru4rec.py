"""GRU4Rec: a recurrent network over what a user met.

Source: Hidasi et al., 2016, Session-based Recommendations with Recurrent Neural Networks; with the whole catalogue in
the loss instead of negatives of the batch.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from train.jagged import Jagged
from train.layers.mlp import linear
from train.layers.padded import Grid
from train.models.next_item.base import Encoder, ItemTable, NextItemModel
from train.models.sizes import Width

CELLS: dict[str, type[nn.GRU | nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


class Gru4RecSpec(NextItemModel):
    """Settings of GRU4Rec.

    Attributes:
        cell: What a layer is made of: `gru` (Cho et al., 2014) or `lstm` (Hochreiter & Schmidhuber, 1997).
        layers: Recurrent layers.
        hidden: Units of each; None: as many as the vectors have dimensions.
    """

    kind: Literal["gru4rec"] = "gru4rec"
    cell: Literal["gru", "lstm"] = "gru"
    layers: Annotated[int, Field(gt=0)] = 1
    hidden: Width | None = None

    def encoder(self, items: ItemTable) -> Encoder:
        """Layers that read a history from its oldest item on."""
        hidden = self.hidden or self.embedding_dim
        between = self.dropout if self.layers > 1 else 0.0
        network = CELLS[self.cell](items.width, hidden, self.layers, batch_first=True, dropout=between)
        return _Gru4Rec(items, network, longest=self.longest, dropout=self.dropout)


class _Gru4Rec(Encoder):
    """Items -> recurrent layers -> vectors of the items' width."""

    def __init__(self, items: ItemTable, network: nn.GRU | nn.LSTM, *, longest: int, dropout: float) -> None:
        super().__init__(items, longest=longest)
        self.network, self.dropout = network, nn.Dropout(dropout)
        # Embeddings start small: the norm brings them to the size that gates are made for.
        self.norm = nn.LayerNorm(items.width)
        self.output = linear(network.hidden_size, items.width)

    def states(self, lists: Jagged) -> Tensor:
        """See `Encoder.states`."""
        grid = Grid.of(lists, longest=self.longest)
        # Padding lies behind the items, where nothing that is read comes after it.
        x_BLE = grid.spread(self.dropout(self.norm(self.items(lists.values_J))))
        y_JE: Tensor = self.output(self.dropout(grid.gather(self.network(x_BLE)[0])))
        return y_JE
