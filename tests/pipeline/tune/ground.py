"""A small run to search: three clubs of users who like the items of their club, and a config for it."""

from __future__ import annotations

import random
from pathlib import Path

CONFIG = """
name: clubs
data: {interactions: {path: rows.csv}, roles: {user: u, item: i, time: t}}
etl:
  engine: cpu
  target: {every_row: true}
  split: {by: user_time, valid: 0.2, test: 0.2}
  features: [{columns: [u, i], ops: [categorify]}]
train:
  retriever:
    model: {kind: mf, embedding_dim: 4, negatives: {kind: uniform, count: 1}}
    epochs: 3
    batch_size: 64
    monitor_k: 5
    optimizer: {embedding: adam, embedding_rate: 0.01}
tune:
  trials: 4
  pruner: none
  sampler: {kind: tpe, startup: 2}
  space:
    train.retriever.optimizer.embedding_rate: {low: 1.0e-3, high: 0.3, log: true}
    train.retriever.model.embedding_dim: [2, 4, 8]
"""


def write(folder: Path, config: str = CONFIG) -> Path:
    """Write rows and config, and give the path of the config."""
    draw = random.Random(1)
    rows = [
        (user, 3 * item + user % 3, time) for user in range(30) for time, item in enumerate(draw.sample(range(12), 10))
    ]
    (folder / "rows.csv").write_text("u,i,t\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows))
    (folder / "clubs.yaml").write_text(config)
    return folder / "clubs.yaml"


def settled(trial: dict) -> dict:
    """A trial without times."""
    return {name: value for name, value in trial.items() if name != "seconds"}
