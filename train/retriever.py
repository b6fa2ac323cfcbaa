"""A trained candidate generator: what its vectors and scores are, and how it is read from disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from core.errors import UserError
from train.batch import Batch, Features
from train.checkpoint import load_tensors
from train.determinism import seeded
from train.evaluation.scorer import ModuleScorer, Scorer, VectorScorer
from train.histories import HISTORY, Histories
from train.model_directory import WEIGHTS, features_of, reading
from train.models.retrieve.base import Reads, Scores, Sizes, Towers
from train.spec import RetrieverSpec

ROWS = 8192
"""Entities whose vectors are computed at a time: always as many, so that no setting moves a digit."""
HISTORIES = 1024
"""The same of those with histories: few, since a grid is as long as the longest of them."""


@dataclass(frozen=True)
class Retriever:
    """A trained candidate generator.

    Attributes:
        module: In eval mode.
        sizes: What it was built for.
        spec: How it was trained.
    """

    module: Towers | Scores
    sizes: Sizes
    spec: RetrieverSpec

    @property
    def reads(self) -> frozenset[Reads]:
        """What its query reads of a user."""
        return self.spec.model.reads

    @property
    def user_features(self) -> Features:
        """What the query side reads."""
        return self.sizes.user

    @property
    def item_features(self) -> Features:
        """What the item side reads."""
        return self.sizes.item

    @property
    def items(self) -> int:
        """Size of the catalogue."""
        return self.sizes.items

    @property
    def towers(self) -> Towers:
        """The modules of both sides.

        Raises:
            UserError: It has no vectors.
        """
        if isinstance(self.module, Towers):
            return self.module
        told = f"{self.spec.model.kind} scores items and has no vectors"
        raise UserError(told, where="train.retriever.model", cure="choose a model with vectors, such as two_tower")

    @property
    def query_module(self) -> nn.Module:
        """Batch of users -> vector_BV, or score_BI of a model without vectors."""
        return self.module if isinstance(self.module, Scores) else self.towers.query

    @property
    def item_module(self) -> nn.Module:
        """Batch of items, with `extra[pairs.ENTITY]` -> vector_BV."""
        return self.towers.item

    def user_vectors(self, users: Batch) -> Tensor:
        """Query vectors, float32 [users, V]."""
        return vectors(self.towers.query, users)

    def item_vectors(self, items: Batch) -> Tensor:
        """Item vectors, float32 [items, V], of a batch such as `pairs.entity_batch` gives."""
        return vectors(self.towers.item, items)

    def scorer(self, queries: Batch, items: Batch) -> Scorer:
        """What ranks the catalogue for some users.

        Args:
            queries: Rows of `queries_at`.
            items: The features of every item.
        """
        return scorer_of(self.module, queries, items)

    def to(self, device: torch.device) -> Retriever:
        """The same with its weights on a device."""
        return replace(self, module=self.module.to(device))


def scorer_of(module: Towers | Scores, queries: Batch, items: Batch) -> Scorer:
    """What ranks the catalogue by a module in eval mode; see `Retriever.scorer`."""
    if isinstance(module, Towers):
        return VectorScorer(vectors(module.query, queries), vectors(module.item, items))
    return ModuleScorer(module, queries, len(items))


def queries_at(users: Batch, histories: Histories, split: str) -> Batch:
    """What is known of every user when a split begins: features, number and history."""
    return replace(users, lists={**users.lists, HISTORY: histories.at(split)})


@torch.inference_mode()
def vectors(module: nn.Module, entities: Batch) -> Tensor:
    """Vectors of entities, in blocks, of like lengths where they have histories; the module is in eval mode."""
    rows = max(1, len(entities))
    histories = entities.lists.get(HISTORY)
    if histories is None:
        return torch.cat([module(entities.rows(at, at + ROWS)).to(torch.float32) for at in range(0, rows, ROWS)])
    order_N = torch.argsort(histories.sizes, stable=True)
    blocks = (entities.pick(order_N[at : at + HISTORIES]) for at in range(0, rows, HISTORIES))
    found_NV = torch.cat([module(block).to(torch.float32) for block in blocks])
    return torch.empty_like(found_NV).index_copy_(0, order_N, found_NV)


def load_retriever(directory: Path) -> Retriever:
    """Load what `retriever_training.train_retriever` wrote, onto the CPU.

    Raises:
        UserError: It is missing, broken, or of a newer version.
    """
    with reading(directory, "retriever") as value:
        spec = RetrieverSpec.model_validate(value["spec"])
        user, item = features_of(value["user_features"]), features_of(value["item_features"])
        sizes = Sizes(user, item, int(value["users"]), int(value["items"]))
        with seeded(0, torch.device("cpu")):
            module = spec.model.build(sizes)
        module.load_state_dict(load_tensors(directory / WEIGHTS))
    return Retriever(module.eval(), sizes, spec)
