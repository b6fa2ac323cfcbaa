"""What the tests of trained generators share: a few pairs learned by heart, and the clubs found again."""

from __future__ import annotations

from pathlib import Path

import torch

from core.dataset import Dataset
from train.batch import Batch, Features
from train.evaluation.holdout import Holdout
from train.histories import HISTORY, Histories
from train.models.retrieve.base import Facts, Sizes, Towers, TrainedModel
from train.optim.mover import Mover
from train.pairs import ENTITY, Interactions, Tables, read_interactions, read_tables, take
from train.retriever import load_retriever, queries_at
from train.retriever_training import train_retriever
from train.spec import OptimizerSpec, RetrieverSpec

CPU = torch.device("cpu")
NOTHING = Features((), (), ())


def facts_of(user_P: torch.Tensor, item_P: torch.Tensor, *, users: int, items: int) -> tuple[Facts, Sizes]:
    """Training pairs alone, without features."""
    split_P = torch.zeros(len(user_P), dtype=torch.int8)
    known = Interactions(
        user_P, item_P, split_P == 0, split_P, torch.zeros(len(user_P), dtype=torch.int64), users, items
    )
    sides = [Batch(torch.zeros(n, 0), torch.zeros(n, 0), extra={ENTITY: torch.arange(n)}) for n in (users, items)]
    return Facts(known.pairs("train"), Histories.of(known), Tables(*sides)), Sizes(NOTHING, NOTHING, users, items)


def recall_by_heart(model: TrainedModel, *, steps: int, optimizer: OptimizerSpec) -> float:
    """Train on 64 pairs, 16 users with 4 of 40 items each; the share of them among each user's first four."""
    torch.manual_seed(0)
    item_UP = torch.stack([torch.randperm(40)[:4] for _ in range(16)])
    facts, sizes = facts_of(torch.arange(16).repeat_interleave(4), item_UP.flatten(), users=16, items=40)
    module = model.build(sizes)
    assert isinstance(module, Towers)
    loss, mover = model.objective(module, facts), Mover(module, optimizer, steps=steps)
    batches = model.batches(facts, batch_size=64, seed=0)
    for step in range(steps):
        value = loss(next(iter(batches.epoch(step))))
        assert value.isfinite()
        value.backward()
        mover.step(step)
    module.settle()
    queries = queries_at(facts.tables.user, facts.histories, "valid")
    with torch.no_grad():
        score_UI = module.eval().query(queries) @ module.item(facts.tables.item).T
    found_UK = score_UI.topk(4, dim=1).indices
    return (found_UK.unsqueeze(2) == item_UP.unsqueeze(1)).any(2).float().mean().item()


def recall_of_clubs(
    model: TrainedModel, clubs: Dataset, out: Path, *, optimizer: OptimizerSpec, epochs: int = 25
) -> float:
    """Train on the clubs; recall@2 of their members in the test split."""
    spec = RetrieverSpec(model=model, epochs=epochs, batch_size=64, optimizer=optimizer, monitor_k=5, patience=epochs)
    train_retriever(clubs, spec, out, seed=0, device=CPU)
    retriever, interactions = load_retriever(out), read_interactions(clubs)
    tables = read_tables(clubs, retriever.user_features, retriever.item_features)
    holdout = Holdout.of(interactions, "test")
    queries = take(queries_at(tables.user, Histories.of(interactions), "test"), holdout.user_Q)
    assert HISTORY in queries.lists
    return holdout.figures(retriever.scorer(queries, tables.item), ks=[2])["warm"]["recall@2"]
