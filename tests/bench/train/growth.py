"""What ten times the rows, the vocabulary or the catalogue cost in time and memory; prints one line of JSON.

    python -m tests.bench.train.growth [--small] [--threads N]

Each case is a process of its own, so that its peak memory is its own. Steps are those of a training: DLRM with batches
of 4096 for rows and vocabularies, SASRec (64 wide, 2 blocks, 256 histories of 10 items) for catalogues.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from core.dataset import TARGET
from train.batch import Batch, Features
from train.determinism import deterministic, seeded
from train.histories import HISTORY
from train.jagged import Jagged
from train.loader import Loader
from train.losses.pointwise import binary_cross_entropy
from train.models.next_item.base import NextItemModel
from train.models.next_item.sasrec import SasRecSpec
from train.models.rank.dlrm import DlrmSpec
from train.models.retrieve.base import Sizes
from train.optim.mover import Mover
from train.precision import fast_products
from train.spec import OptimizerSpec

CPU = torch.device("cpu")
BATCH, GROUP = 4096, 131_072
ROWS, VOCABULARY, CATALOGUE = 250_000, 2_000_000, 12_000
STEPS = 12
CASES = [
    *(("rows", times, "dlrm") for times in (1, 10)),
    *(("vocabulary", times, "dlrm") for times in (1, 10)),
    *(("catalogue", times, loss) for loss in ("full", "sampled") for times in (1, 10)),
]


def features(vocabulary: int) -> Features:
    """26 tables of so many ids in all, most of them in a few tables, and 13 numbers."""
    shares = np.geomspace(10 / 800_000, 1.0, 26)
    sizes = np.maximum(10, shares / shares.sum() * vocabulary).astype(int)
    return Features(tuple(f"c{n}" for n in range(26)), tuple(map(int, sizes)), tuple(f"d{n}" for n in range(13)))


def columns(of: Features, rows: int, seed: int) -> dict[str, np.ndarray]:
    """Random rows: ids with long tails."""
    random = np.random.default_rng(seed)
    ids = {
        name: (size * random.random(rows) ** 3).astype(np.int32)
        for name, size in zip(of.categorical, of.cardinalities, strict=True)
    }
    numbers = {name: random.normal(size=rows).astype(np.float32) for name in of.continuous}
    return {**ids, **numbers, TARGET: (random.random(rows) < 0.3).astype(np.float32)}


def ranking(of: Features) -> Callable[[Batch, int], None]:
    """A step of DLRM."""
    with seeded(0, CPU):
        module = DlrmSpec(embedding_dim=16).build(of)
    mover = Mover(module, OptimizerSpec(), steps=10**6)

    def step(batch: Batch, number: int) -> None:
        assert batch.target_B is not None
        with fast_products(CPU), deterministic():
            binary_cross_entropy(module(batch), batch.target_B).backward()
            mover.step(number)

    return step


def grown_rows(rows: int) -> dict[str, Any]:
    """An epoch from Parquet."""
    of = features(VOCABULARY // 10)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for part in range(0, rows, GROUP):
            files.append(Path(folder) / f"part-{part:09d}.parquet")
            pl.DataFrame(columns(of, min(GROUP, rows - part), part)).write_parquet(files[-1])
        step = ranking(of)
        loader = Loader(files, of, BATCH, shuffle=True)
        started = time.perf_counter()
        for number, batch in enumerate(loader.epoch(0)):
            step(batch, number)
        seconds = time.perf_counter() - started
    return {"size": rows, "seconds": seconds, "per": "epoch", "rows_per_s": rows / seconds}


def grown_vocabulary(vocabulary: int) -> dict[str, Any]:
    """Steps with batches in memory."""
    of = features(vocabulary)
    made = columns(of, 4 * BATCH, 0)
    ids, dense = (torch.from_numpy(np.stack([made[n] for n in names], 1)) for names in (of.categorical, of.continuous))
    whole = Batch(ids, dense, torch.from_numpy(made[TARGET]))
    batches = [whole.rows(start, start + BATCH) for start in range(0, 4 * BATCH, BATCH)]
    step = ranking(of)
    return {"size": vocabulary, **_timed(lambda number: step(batches[number % 4], number))}


def grown_catalogue(items: int, loss: str) -> dict[str, Any]:
    """Steps of SASRec."""
    spec: NextItemModel = SasRecSpec(negatives=256 if loss == "sampled" else 0)
    none = Features((), (), ())
    with seeded(0, CPU):
        module = spec.build(Sizes(none, none, 1, items))
        objective = spec.objective(module, None)  # type: ignore[arg-type]  # it asks for no facts
        lists = Jagged(torch.randint(items, (2560,)), torch.arange(0, 2561, 10))
        batch = Batch(torch.empty(256, 0, dtype=torch.int64), torch.empty(256, 0), lists={HISTORY: lists})
        mover = Mover(module, OptimizerSpec(), steps=10**6)

        def step(number: int) -> None:
            with fast_products(CPU), deterministic():
                objective(batch).backward()
                mover.step(number)

        return {"size": items, **_timed(step)}


def _timed(step: Callable[[int], None]) -> dict[str, Any]:
    seconds = []
    for number in range(STEPS):
        started = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - started)
    return {"seconds": statistics.median(seconds[2:]), "per": "step"}


def one(what: str, times: int, which: str, *, small: bool) -> dict[str, Any]:
    """Measure one case in this process."""
    share = 50 if small else 1
    if what == "rows":
        found = grown_rows(times * ROWS // share)
    elif what == "vocabulary":
        found = grown_vocabulary(times * VOCABULARY // share)
    else:
        found = grown_catalogue(times * CATALOGUE // share, which)
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return {"what": what, "times": times, "which": which, **found, "peak_rss_mb": peak}


def main() -> None:
    """Print one line of JSON with all cases, or with the one that is named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case", nargs="?", type=int)
    parser.add_argument("--small", action="store_true", help="a fiftieth of all sizes")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.case is not None:
        print(json.dumps(one(*CASES[asked.case], small=asked.small)), flush=True)
        return
    module = [sys.executable, "-m", "tests.bench.train.growth"]
    rest = ["--threads", str(asked.threads), *(["--small"] if asked.small else [])]
    found = [
        json.loads(subprocess.run([*module, str(case), *rest], check=True, stdout=subprocess.PIPE, text=True).stdout)
        for case in range(len(CASES))
    ]
    print(json.dumps({"bench": "growth", "small": asked.small, "cases": found}), flush=True)


if __name__ == "__main__":
    main()
