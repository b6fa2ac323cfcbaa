"""Our loader alone, in a process of its own; prints one line of JSON.

    python -m tests.bench.train.loading TRAIN VALID FOLDER [--rows N] [--passes N] [--threads N]

Batches of 4096 in shuffled order from Parquet files: 13 numbers, 26 ids and the target as three tensors. `list`: and a
column of lists, 5 ids on average. `history`: and, gathered batch by batch, up to 50 items that the row's user met
before it, 10 on average.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from core.dataset import TIME, USER_INDEX
from tests.bench.train.ctr import BATCH
from tests.bench.train.data import GROUP, prepared
from train.batch import Features, ListFeature
from train.batches import Batches
from train.histories import Histories
from train.history_batches import WithHistory
from train.loader import Loader
from train.pairs import Interactions

TAGS, ITEMS, ROWS_A_USER = 1000, 50_000, 20


def widened(file: Path) -> Path:
    """The same rows with a list, a user and a moment."""
    made = file.with_name("train-lists.parquet")
    if made.exists() and made.stat().st_mtime >= file.stat().st_mtime:
        return made
    frame = pl.read_parquet(file)
    random = np.random.default_rng(0)
    sizes = random.integers(0, 11, frame.height)
    tags = pl.Series(random.integers(0, TAGS, int(sizes.sum()), dtype=np.int32))
    owner = pl.Series(np.repeat(np.arange(frame.height), sizes))
    lists = pl.DataFrame({"owner": owner, "tag": tags}).group_by("owner", maintain_order=True).agg("tag")
    rows = pl.DataFrame({"owner": np.arange(frame.height)}).join(lists, on="owner", how="left", maintain_order="left")
    users = random.integers(0, max(1, frame.height // ROWS_A_USER), frame.height)
    frame = frame.with_columns(
        rows["tag"].fill_null([]).alias("tags"),
        pl.Series(USER_INDEX, users, dtype=pl.Int64),
        pl.Series(TIME, np.arange(frame.height), dtype=pl.Int64),
    )
    frame.write_parquet(made, row_group_size=GROUP, compression="lz4")
    return made


def batches(kind: str, file: Path, features: Features) -> Batches:
    """The batches of one kind."""
    if kind == "plain":
        return Loader([file], features, BATCH, shuffle=True)
    file = widened(file)
    if kind == "list":
        return Loader([file], replace(features, lists=(ListFeature("tags", TAGS),)), BATCH, shuffle=True)
    loader = Loader([file], features, BATCH, shuffle=True, extra=[USER_INDEX, TIME])
    rows = pl.read_parquet(file, columns=[USER_INDEX, TIME])
    user, moment = (torch.from_numpy(rows[name].to_numpy().copy()) for name in (USER_INDEX, TIME))
    item = torch.randint(ITEMS, (len(user),), generator=torch.Generator().manual_seed(0))
    every, train = torch.ones(len(user), dtype=torch.bool), torch.zeros_like(user)
    log = Interactions(user, item, every, train, moment, users=int(user.max()) + 1, items=ITEMS)
    return WithHistory(loader, Histories.of(log), {"history.item": torch.arange(ITEMS)}, longest=50)


def passes(made: Batches, times: int) -> Sequence[float]:
    """Seconds of each pass over all rows."""
    seconds = []
    for epoch in range(times):
        started = time.perf_counter()
        rows = sum(len(batch) for batch in made.epoch(epoch))
        seconds.append(time.perf_counter() - started)
        if rows != made.rows:
            raise AssertionError(f"{rows} rows of {made.rows}")
    return seconds


def measure(files: tuple[Path, Path, Path], *, rows: int | None, times: int) -> dict[str, Any]:
    """Passes of each kind, turn about."""
    file, _, features = prepared(*files, rows=rows)
    made = {kind: batches(kind, file, features) for kind in ("plain", "list", "history")}
    taken: dict[str, list[float]] = {kind: [] for kind in made}
    for turn in range(times):
        for kind, one in made.items():
            taken[kind] += passes(one, 1) if turn else passes(one, 2)[1:]
    said = {kind: made[kind].rows / statistics.median(seconds) for kind, seconds in taken.items()}
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return {"bench": "loader", "peer": "gyrfalcon", "rows": made["plain"].rows, "rows_per_s": said, "all_s": taken,
            "peak_rss_mb": peak}  # fmt: skip


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs=3, type=Path, metavar=("TRAIN", "VALID", "FOLDER"))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(json.dumps(measure(tuple(asked.files), rows=asked.rows, times=asked.passes)), flush=True)


if __name__ == "__main__":
    main()
