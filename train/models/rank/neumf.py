"""Neural collaborative filtering: GMF, MLP, or both as NeuMF (He et al., 2017).

Shapes: B rows, V factors, H width of the last deep layer.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from core.errors import UserError
from train.batch import Batch, Features
from train.layers.embedding import FusedEmbedding
from train.layers.flat import FlatInput, require_features
from train.layers.mlp import Mlp, linear
from train.models.rank.base import RankerModel
from train.models.sizes import Dropout, Hidden, Width

Part = Literal["gmf", "mlp"]


def _distinct(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    if len(set(parts)) < len(parts):
        raise ValueError("names a part twice")
    return parts


class NeuMfSpec(RankerModel):
    """The product of a user's and an item's vector, and a tower over other vectors of theirs, under one logit (eq. 12).

    Sizes as in the paper's section 4.1 and its code: 8 factors, a tower of 64 inputs, 32, 16, 8. Further features go
    into the tower, beside the two ids. The parts learn together from the start; the paper also tries to train each
    alone first.

    Attributes:
        parts: `[gmf, mlp]`, or one of them alone: `[gmf]` is a matrix factorisation with a weight a factor.
        factors: Width of the vectors that are multiplied.
        embedding_dim: Width of the tower's embeddings.
        hidden: Widths of the tower's layers.
        dropout: Share of the tower's units that training switches off.
    """

    kind: Literal["neumf"] = "neumf"
    parts: Annotated[tuple[Part, ...], Field(min_length=1), AfterValidator(_distinct)] = ("gmf", "mlp")
    factors: Width = 8
    embedding_dim: Width = 32
    hidden: Annotated[Hidden, Field(min_length=1)] = (32, 16, 8)
    dropout: Dropout = 0.0

    def build(self, features: Features) -> nn.Module:
        """Make the module.

        Raises:
            UserError: There is no id of the user or of the item, or `[gmf]` is given a feature that it cannot use.
        """
        user_id, item_id = _ids(features)
        others = [name for name in features.names if name not in (user_id, item_id)]
        if others and "mlp" not in self.parts:
            raise UserError(
                f"the product of two ids cannot use {', '.join(others)}",
                where="train.ranker.model.parts",
                cure="take [gmf, mlp], which has a part for further features, or leave them out of etl.features",
            )
        both = tuple(features.categorical.index(name) for name in (user_id, item_id))
        product = _Product(features, both, self.factors) if "gmf" in self.parts else None
        flat = FlatInput(features, width=self.embedding_dim) if "mlp" in self.parts else None
        tower = nn.Sequential(flat, Mlp(flat.outputs, self.hidden, dropout=self.dropout)) if flat else None
        outputs = (self.factors if product else 0) + (self.hidden[-1] if tower else 0)
        return NeuMf([part for part in (product, tower) if part is not None], outputs)


class NeuMf(nn.Module):
    """One linear layer on the parts' outputs side by side."""

    def __init__(self, parts: list[nn.Module], outputs: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.top = linear(outputs, 1)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B."""
        out_BI = torch.cat([part(batch) for part in self.parts], dim=1)
        logit_B: Tensor = self.top(out_BI).squeeze(1)
        return logit_B


class _Product(nn.Module):
    """The elementwise product of the user's and the item's vector (eq. 8), Batch -> product_BV."""

    def __init__(self, features: Features, both: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.both = both
        self.embedding = FusedEmbedding([features.cardinalities[place] for place in both], width)

    def forward(self, batch: Batch) -> Tensor:
        user_BV, item_BV = (
            self.embedding.of(feature, batch.ids_BF[:, place]) for feature, place in enumerate(self.both)
        )
        return user_BV * item_BV


def _ids(features: Features) -> tuple[str, str]:
    """The columns that are the user's and the item's id."""
    require_features(features)
    return _required(features.user_id, "user"), _required(features.item_id, "item")


def _required(name: str | None, side: str) -> str:
    if name is None:
        raise UserError(
            f"no feature is the {side}'s id, and neumf multiplies vectors of users and items",
            where="etl.features",
            cure=f"add the column of data.roles.{side} with categorify, or take another model, such as fm",
        )
    return name
