"""A few users and items whose right answers can be written down."""

from __future__ import annotations

import torch
from torch import Tensor

from train.batch import Batch, Features
from train.histories import HISTORY, Histories
from train.jagged import Jagged
from train.models.retrieve.base import CountedModel, Facts, Scores, Sizes, Towers
from train.pairs import Interactions, Tables

NONE = Features((), (), ())


def met(users: int, items: int, share: float, *, seed: int = 0) -> Tensor:
    """Who met what, at random: some items often, some hardly ever; the last item nobody."""
    generator = torch.Generator().manual_seed(seed)
    chance_I = torch.linspace(2 * share, 0.0, items)
    return torch.rand(users, items, generator=generator) < chance_I


def facts_of(met_UI: Tensor, *, again: int = 0) -> tuple[Facts, Sizes]:
    """What a model learns from; the first `again` pairs come twice."""
    users, items = met_UI.shape
    user_P, item_P = met_UI.nonzero().T
    user_P, item_P = torch.cat([user_P, user_P[:again]]), torch.cat([item_P, item_P[:again]])
    zero_P = torch.zeros_like(user_P)
    interactions = Interactions(user_P, item_P, zero_P == 0, zero_P, zero_P, users=users, items=items)
    tables = Tables(Batch.zeros(NONE, users), Batch.zeros(NONE, items))
    histories = Histories.of(interactions).until("valid")
    return Facts(interactions.pairs("train"), histories, tables), Sizes(NONE, NONE, users, items)


def filled(model: CountedModel, met_UI: Tensor, *, again: int = 0) -> Towers | Scores:
    """A model that has learned from them."""
    facts, sizes = facts_of(met_UI, again=again)
    torch.manual_seed(0)
    module = model.build(sizes)
    model.fill(module, facts)
    return module.eval()


def asked(*histories: list[int]) -> Batch:
    """Queries of users with these histories."""
    return Batch(
        torch.zeros(len(histories), 0, dtype=torch.int64),
        torch.zeros(len(histories), 0),
        lists={HISTORY: Jagged.of(histories)},
    )


def histories_of(met_UI: Tensor) -> Batch:
    """Queries of users who met these items."""
    return asked(*[row.nonzero().flatten().tolist() for row in met_UI])
