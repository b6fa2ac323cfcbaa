"""A plain deep network on embeddings and continuous features."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.fields import Numbers
from train.layers.flat import FlatInput
from train.layers.mlp import Mlp
from train.models.rank.base import RankerModel
from train.models.sizes import Dropout, Hidden, Width


class MlpSpec(RankerModel):
    """Embeddings beside continuous features through ReLU layers.

    The sizes are those of the Criteo_x1 recipe of the BARS benchmark (Zhu et al., 2022): 400 x 3.

    Attributes:
        embedding_dim: Width of the embeddings.
        hidden: Widths of the layers.
        dropout: Share of units that training switches off.
        numbers: `raw`: continuous features go in as they are, `embedded`: as vectors.
    """

    kind: Literal["mlp"] = "mlp"
    embedding_dim: Width = 16
    hidden: Annotated[Hidden, Field(min_length=1)] = (400, 400, 400)
    dropout: Dropout = 0.0
    numbers: Numbers = "raw"

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features but none."""
        flat = FlatInput(features, width=self.embedding_dim, numbers=self.numbers)
        return DeepNetwork(flat, hidden=self.hidden, dropout=self.dropout)


class DeepNetwork(nn.Module):
    """The deep network, Batch -> logit_B."""

    def __init__(self, flat: FlatInput, *, hidden: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.flat = flat
        self.mlp = Mlp(flat.outputs, hidden, out=1, dropout=dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        logit_B: Tensor = self.mlp(self.flat(batch)).squeeze(1)
        return logit_B
