"""LightGCN: vectors of users and items, spread over the graph of who liked what.

Source: He et al., 2020, LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation.

Shapes: B pairs, U users, I items, N nodes (users, then items), V dimensions of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, normalize

from core.dataset import ITEM_INDEX, USER_INDEX
from train.batch import Batch
from train.item_sets import ItemSets
from train.losses.catalogue import BprLoss, catalogue_loss
from train.models.retrieve.base import Block, Facts, Reads, Scores, Sizes, Towers, TrainedModel
from train.models.retrieve.mf import Loss, Negatives, fill_unknown
from train.models.sizes import Width
from train.negatives.drawn import UniformNegatives
from train.pairs import ENTITY


class LightGcnSpec(TrainedModel):
    """Settings of LightGCN; by default as in its paper.

    The graph is spread over once a batch, so a large `batch_size` makes epochs short. The vectors are dense weights:
    `optimizer.rate` moves them.

    Attributes:
        embedding_dim: Dimensions of the vectors.
        layers: How often vectors are spread.
        l2: Penalty on the squared length of the unspread vectors of each pair's user and own item.
        loss: What is made smaller.
        negatives: What the own item is compared with.
        unit: Vectors of length one (cosine similarity); then `sampled_softmax` wants a temperature near 0.1.
    """

    kind: Literal["lightgcn"] = "lightgcn"
    reads: ClassVar[frozenset[Reads]] = frozenset({Reads.USER})
    entity_rows: ClassVar[Mapping[str, tuple[Block, ...]]] = {
        "fresh_NV": (Block("users"), Block("items")),
        "query.vector_NV": (Block("users", more=1),),
        "item.vector_NV": (Block("items"),),
    }
    embedding_dim: Width = 64
    layers: Annotated[int, Field(ge=0)] = 3
    l2: Annotated[float, Field(ge=0.0)] = 1e-4
    loss: Loss = BprLoss()
    negatives: Negatives = UniformNegatives()
    unit: bool = False

    def build(self, sizes: Sizes) -> Towers:
        """Make fresh vectors of all users and items."""
        return Graph(sizes.users, sizes.items, width=self.embedding_dim, layers=self.layers, unit=self.unit)

    def objective(self, module: Towers | Scores, facts: Facts) -> Callable[[Batch], Tensor]:
        """Make the loss of a batch of pairs."""
        if not isinstance(module, Graph):
            raise TypeError(f"a graph is trained as a whole, got {type(module).__name__}")
        module.connect(facts.positives)
        sampler, users = self.negatives.sampler(facts.pairs), facts.pairs.users

        def loss(batch: Batch) -> Tensor:
            user_B, own_B = batch.extra[USER_INDEX], batch.extra[ITEM_INDEX]
            user_UV, item_IV = module.spread()
            ranked = catalogue_loss(
                self.loss,
                sampler,
                query_BV=module.scaled(user_UV[user_B]),
                item_vectors=lambda item_N: module.scaled(item_IV[item_N]),
                items=facts.pairs.items,
                user_B=user_B,
                own_B=own_B,
            )
            if self.l2 == 0.0:
                return ranked
            touched = module.fresh_NV[torch.cat([user_B, own_B + users])]
            return ranked + self.l2 * touched.square().sum() / (2 * len(user_B))

        return loss


@dataclass(frozen=True)
class Adjacency:
    """D^-1/2 A D^-1/2 of users and items, row by row: a symmetric matrix (equation 3).

    A sum of bags is several times as fast here as torch's product with a sparse matrix.

    Attributes:
        column_P: Of each entry.
        start_N1: Where the entries of each row begin, and where the last end.
        weight_P: The entries.

    Example:
        >>> sets = ItemSets.of(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), users=2, items=2)
        >>> (Adjacency.of(sets) @ torch.eye(4))[:2, 2:]
        tensor([[0.7071, 0.5000],
                [0.0000, 0.7071]])
    """

    column_P: Tensor
    start_N1: Tensor
    weight_P: Tensor

    @classmethod
    def of(cls, liked: ItemSets) -> Adjacency:
        """Of who liked what; users come first."""
        users, device = liked.users, liked.item_P.device
        user_P, item_P = liked.pairs(torch.arange(users, device=device))
        row, column = torch.cat([user_P, item_P + users]), torch.cat([item_P + users, user_P])
        order = torch.argsort(row, stable=True)
        row, column = row[order], column[order]
        degree_N = torch.bincount(row, minlength=users + liked.items)
        scale_N = degree_N.clamp(min=1).to(torch.float64).rsqrt()
        start_N1 = torch.cat([degree_N.new_zeros(1), degree_N.cumsum(0)])
        return cls(column, start_N1, (scale_N[row] * scale_N[column]).to(torch.float32))

    def __matmul__(self, vector_NV: Tensor) -> Tensor:
        """Weighted sums of rows: [N, V] -> [N, V]."""
        return embedding_bag(
            self.column_P,
            vector_NV,
            self.start_N1,
            mode="sum",
            per_sample_weights=self.weight_P.to(vector_NV.dtype),
            include_last_offset=True,
        )


class Spread(torch.autograd.Function):
    """One product with a symmetric sparse matrix: its gradient is the same product."""

    @staticmethod
    def forward(ctx: Any, adjacency: Adjacency, vector_NV: Tensor) -> Tensor:
        """A x."""
        ctx.adjacency = adjacency
        return adjacency @ vector_NV

    @staticmethod
    def backward(ctx: Any, gradient_NV: Tensor) -> tuple[None, Tensor]:
        """A^T g = A g."""
        return None, ctx.adjacency @ gradient_NV.contiguous()


class Graph(Towers):
    """Unspread vectors, which are trained, and the spread ones of the last `settle`, which rank."""

    query: Settled
    item: Settled

    def __init__(self, users: int, items: int, *, width: int, layers: int, unit: bool) -> None:
        super().__init__(Settled(users + 1, width), Settled(items, width))
        self.layers, self.unit, self.users = layers, unit, users
        # Normal with a deviation of 0.1, as in the code of the paper's authors.
        self.fresh_NV = nn.Parameter(torch.randn(users + items, width) * 0.1)
        self.adjacency: Adjacency | None = None
        self.known_U: Tensor | None = None

    def connect(self, liked: ItemSets) -> None:
        """Learn who liked what."""
        self.adjacency, self.known_U = Adjacency.of(liked), liked.sizes > 0

    def spread(self) -> tuple[Tensor, Tensor]:
        """Vectors of users and items: the mean of the unspread ones and of each layer (equation 4)."""
        if self.adjacency is None:
            raise RuntimeError("a graph without edges: connect it first")
        layer_NV = total_NV = self.fresh_NV
        for _ in range(self.layers):
            layer_NV = Spread.apply(self.adjacency, layer_NV)  # type: ignore[no-untyped-call]
            total_NV = total_NV + layer_NV
        mean_NV = total_NV / (self.layers + 1)
        return mean_NV[: self.users], mean_NV[self.users :]

    def scaled(self, vector_BV: Tensor) -> Tensor:
        """Spread vectors at the length that scores are made of: a batch needs it of its own rows alone."""
        return normalize(vector_BV, dim=1) if self.unit else vector_BV

    @torch.no_grad()
    def settle(self) -> None:
        """Store the spread vectors; somebody new, and who liked nothing, gets the mean of the others."""
        if self.known_U is None:
            return
        user_UV, item_IV = (self.scaled(side_NV) for side_NV in self.spread())
        self.query.vector_NV[:-1], self.item.vector_NV[:] = user_UV, item_IV
        fill_unknown(self.query.vector_NV, self.known_U)


class Settled(nn.Module):
    """A stored vector a row."""

    vector_NV: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vector_NV", torch.zeros(rows, width))

    def forward(self, batch: Batch) -> Tensor:
        """Batch with `extra[ENTITY]` -> vector_BV."""
        return self.vector_NV[batch.extra[ENTITY]]
