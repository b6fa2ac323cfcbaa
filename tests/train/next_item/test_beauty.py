"""Amazon Beauty: as many predictions an epoch as others count on the same files; see `GYRFALCON_REAL_DATA`."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest
import torch

from train.histories import HISTORY, Histories
from train.pairs import Interactions
from train.sequences.batches import SequenceBatches
from train.sequences.windows import inputs_and_next, windows

FOLDER = os.environ.get("GYRFALCON_REAL_DATA", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="GYRFALCON_REAL_DATA names no folder of real data")

PREDICTIONS = 131_413
"""Training rows of RecBole 1.2 on these files: each next item of the training split, once."""


def test_each_next_item_of_beauty_is_a_target_once() -> None:
    source = Path(FOLDER) / "amazon-beauty-5core" / "interactions.parquet"
    if not source.exists():
        pytest.skip(f"GYRFALCON_REAL_DATA holds no {source.parent.name}")
    frame = pl.read_parquet(source).filter(pl.col("split") == "train")
    user, item, time = (torch.from_numpy(frame[name].to_numpy().astype("int64")) for name in frame.columns[:3])
    every = torch.ones(len(user), dtype=torch.bool)
    users, items = int(user.max()) + 1, int(item.max()) + 1
    interactions = Interactions(user, item, every, torch.zeros_like(user), time, users=users, items=items)
    sequences = windows(Histories.of(interactions).at("valid"), most=51, overlap=1)
    batches = SequenceBatches(sequences, 256, seed=0).epoch(0)
    assert sum(len(inputs_and_next(batch.lists[HISTORY])[1]) for batch in batches) == PREDICTIONS
