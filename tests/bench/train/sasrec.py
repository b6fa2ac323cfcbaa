"""SASRec on Amazon Beauty, epochs and full ranking, in a process of its own; prints one line of JSON.

    python -m tests.bench.train.sasrec INTERACTIONS [--epochs N] [--threads N] [--users N]

The sizes and the supervision are those of the peer (RecBole): 64 wide, 2 blocks of 2 heads, 256 inside, dropout .5,
50 items, the softmax over the whole catalogue, each next item of each user predicted once an epoch, and as many
optimizer steps an epoch. The peer lays each of the 131,413 beginnings of a history into a row of 50; here a history
is read once and predicts behind each of its items. That is the smaller job that makes the difference, and it gives
the same predictions: a causal model's state behind an item does not depend on what follows.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import polars as pl
import torch

from core.dataset import SPLITS
from train.batch import Batch, Features
from train.determinism import deterministic, seeded
from train.evaluation.holdout import Holdout
from train.evaluation.scorer import VectorScorer
from train.histories import Histories
from train.models.next_item.sasrec import SasRecSpec
from train.models.retrieve.base import Facts, Sizes
from train.optim.mover import Mover
from train.pairs import Interactions, Tables, take
from train.precision import fast_products
from train.retriever import queries_at, vectors
from train.spec import OptimizerSpec

CPU = torch.device("cpu")
SPEC = SasRecSpec(embedding_dim=64, blocks=2, heads=2, hidden=256, longest=50, dropout=0.5)
PREDICTIONS = 131_413
ROWS = 2048
"""Predictions a step of the peer."""


def read(source: Path, users: int | None) -> Interactions:
    """The interactions in the published split; `users`: the first ones alone."""
    frame = pl.read_parquet(source)
    ids = [frame[name].rank("dense").to_numpy().astype("int64") - 1 for name in ("user_id", "item_id")]
    split = frame["split"].replace_strict({name: at for at, name in enumerate(SPLITS)}).to_numpy().astype("int64")
    time_P = frame["seq_pos"].to_numpy().astype("int64")
    user, item, split, moment = (torch.from_numpy(values.copy()) for values in (*ids, split, time_P))
    if users is not None:
        kept = user < users
        user, item, split, moment = user[kept], item[kept], split[kept], moment[kept]
    every = torch.ones(len(user), dtype=torch.bool)
    return Interactions(user, item, every, split, moment, users=int(user.max()) + 1, items=int(item.max()) + 1)


def measure(interactions: Interactions, *, epochs: int) -> dict[str, Any]:
    """Train some epochs, then rank the catalogue for every user."""
    histories = Histories.of(interactions)
    none = Features((), (), ())
    sizes = Sizes(none, none, interactions.users, interactions.items)
    tables = Tables(Batch.zeros(none, interactions.users), Batch.zeros(none, interactions.items))
    facts = Facts(interactions.pairs("train"), histories.until("valid"), tables)
    with seeded(2026, CPU):
        module = SPEC.build(sizes)
        objective = SPEC.objective(module, facts)
        sequences = SPEC.batches(facts, batch_size=1, seed=0).rows
        # As many steps as the peer makes with its rows of one prediction each.
        predictions = int((facts.histories.at("valid").sizes - 1).clamp(min=0).sum())
        batches = SPEC.batches(facts, batch_size=-(-sequences * ROWS // predictions), seed=0)
        mover = Mover(module, OptimizerSpec(rate=1e-3), steps=epochs * batches.steps)
        seconds, losses = [], []
        for epoch in range(epochs):
            started, total = time.perf_counter(), 0.0
            module.train()
            with fast_products(CPU), deterministic():
                for step, batch in enumerate(batches.epoch(epoch)):
                    loss = objective(batch)
                    loss.backward()
                    mover.step(epoch * batches.steps + step)
                    total += float(loss.detach())
            seconds.append(time.perf_counter() - started)
            losses.append(total / batches.steps)
    ranked = _rank(module, interactions, histories)
    return {
        "bench": "sasrec", "peer": "gyrfalcon", "predictions": predictions, "steps": batches.steps,
        "epoch_s": statistics.median(seconds), "epoch_all_s": seconds, "loss": losses, **ranked,
        "params": sum(one.numel() for one in module.parameters()), "torch_threads": torch.get_num_threads(),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }  # fmt: skip


@torch.inference_mode()
def _rank(module: torch.nn.Module, interactions: Interactions, histories: Histories) -> dict[str, Any]:
    """Figures of the test split, and the time from histories to figures: median of three."""
    module.eval()
    took = []
    for _ in range(3):
        holdout = Holdout.of(interactions, "test")
        started = time.perf_counter()
        with fast_products(CPU):
            users = Batch.zeros(Features((), (), ()), interactions.users)
            queries = take(queries_at(users, histories, "test"), holdout.user_Q)
            scorer = VectorScorer(vectors(module.query, queries), module.query.items.table.weight)
            figures = holdout.figures(scorer, ks=[10])["all"]
        took.append(time.perf_counter() - started)
    kept = {name: value for name, value in figures.items() if name.endswith("@10")}
    return {"test_eval_s": statistics.median(took), "test_eval_all_s": took, "users": len(holdout.user_Q), "test": kept}


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--users", type=int)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(json.dumps(measure(read(asked.source, asked.users), epochs=asked.epochs)), flush=True)


if __name__ == "__main__":
    main()
