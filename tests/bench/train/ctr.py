"""One epoch of one of our rankers on the peers' rows, in a process of its own; prints one line of JSON.

    python -m tests.bench.train.ctr JOB MODE TRAIN VALID FOLDER [--rows N] [--seed N] [--threads N]

It is the loop that `gyrfalcon train` runs: loader, loss, optimizer, checkpoint; then the rows that judge.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.bench.train.data import prepared
from tests.bench.train.limit import limit
from train.batch import Batch
from train.determinism import seeded
from train.fast_forward import fast_forward
from train.loader import Loader
from train.losses.pointwise import binary_cross_entropy
from train.metrics.classification import auc, logloss
from train.models.rank.base import RankerModel
from train.models.rank.dcn import DcnSpec
from train.models.rank.dcn_v2 import DcnV2Spec
from train.models.rank.deepfm import DeepFmSpec
from train.models.rank.dlrm import DlrmSpec
from train.models.rank.fm import FmSpec
from train.models.rank.logistic import LogisticSpec
from train.models.rank.wide_deep import WideDeepSpec
from train.models.rank.xdeepfm import XDeepFmSpec
from train.precision import fast_products
from train.predict import predict
from train.spec import OptimizerSpec
from train.trainer import Plan, Task, fit

BATCH, WIDTH, FIRST = 4096, 16, 21
"""FIRST: steps that are not steady yet, as in the peers' scripts."""
CPU = torch.device("cpu")
JOBS: dict[str, RankerModel] = {
    "dcn_v2-429": DcnV2Spec(embedding_dim=WIDTH, numbers="raw"),
    "dcn_v2-624": DcnV2Spec(embedding_dim=WIDTH, numbers="embedded"),
    "deepfm-429": DeepFmSpec(embedding_dim=WIDTH, dropout=0.0, numbers="raw"),
    "deepfm-624": DeepFmSpec(embedding_dim=WIDTH, dropout=0.0, numbers="embedded"),
    "dlrm": DlrmSpec(embedding_dim=WIDTH),
    "logistic": LogisticSpec(),
    "fm": FmSpec(embedding_dim=WIDTH),
    "wide_deep": WideDeepSpec(embedding_dim=WIDTH, hidden=(400, 400, 400), numbers="embedded"),
    "dcn": DcnSpec(embedding_dim=WIDTH, cross_layers=3, hidden=(400, 400, 400), numbers="embedded"),
    "xdeepfm": XDeepFmSpec(embedding_dim=WIDTH, maps=(64, 64), split=False, hidden=(400, 400, 400)),
}
"""The number is the width of the deep network's input: 26 x 16 and 13 numbers, or 39 x 16."""
MODES = {"fp32": (False, False), "fp32+compile": (False, True), "bf16": (True, False), "bf16+compile": (True, True)}


@dataclass
class Clock:
    """Moments at which steps began."""

    started: list[float] = field(default_factory=list)
    ended: float = 0.0

    def steady(self, batch: int) -> float | None:
        """Samples a second without the first steps and the last, which may be shorter; None: there are too few."""
        steps = len(self.started) - 1 - FIRST
        return steps * batch / (self.started[-1] - self.started[FIRST]) if steps >= 10 else None


def measure(job: str, mode: str, files: tuple[Path, Path, Path], *, rows: int | None, seed: int) -> dict[str, Any]:
    """Train one epoch and judge it."""
    train, valid, features = prepared(*files, rows=rows)
    bfloat16, compiled = MODES[mode]
    learn = Loader([train], features, BATCH, shuffle=True, seed=seed)
    judge = Loader([valid], features, 2 * BATCH)
    clock = Clock()
    with seeded(seed, CPU), tempfile.TemporaryDirectory(dir=files[2]) as scratch:
        module = JOBS[job].build(features)
        with fast_forward(module, bfloat16=bfloat16, compiled=compiled, device=CPU, where="") as forward:

            def loss(batch: Batch) -> Tensor:
                clock.started.append(time.perf_counter())
                assert batch.target_B is not None
                return binary_cross_entropy(forward(batch), batch.target_B)

            def validate() -> Mapping[str, float]:
                clock.ended = time.perf_counter()
                logit_N, target_N = predict(module, judge)
                return {"auc": auc(logit_N, target_N), "logloss": logloss(logit_N, target_N)}

            outcome = fit(Task(module, loss, learn, validate), _plan(job), Path(scratch), device=CPU)
    flops = _flops(module, next(iter(learn)))
    with fast_products(CPU):
        most = limit(torch.bfloat16 if bfloat16 else torch.float32)
    steady = clock.steady(BATCH) or learn.rows / outcome.seconds
    return {
        "flops_a_row": flops, "limit_gflops": most, "share_of_limit": flops * steady / most / 1e9,
        "bench": "ctr_train", "peer": "gyrfalcon", "job": job, "mode": mode, "rows": learn.rows, "steps": learn.steps,
        "batch": BATCH, "emb_dim": WIDTH, "seed": seed, "params": sum(one.numel() for one in module.parameters()),
        "train_s": outcome.seconds, "samples_per_s": learn.rows / outcome.seconds,
        "steady_samples_per_s": clock.steady(BATCH), "first_step_s": clock.started[1] - clock.started[0],
        **{f"valid_{name}": value for name, value in outcome.history[0]["valid"].items()},
        "arithmetic": outcome.arithmetic, "torch_threads": torch.get_num_threads(),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), "load1": os.getloadavg()[0],
    }  # fmt: skip


def _flops(module: nn.Module, batch: Batch) -> float:
    """Additions and multiplications of the matrix products of one row, forward and backward."""
    assert batch.target_B is not None
    with FlopCounterMode(display=False) as counter:
        binary_cross_entropy(module(batch), batch.target_B).backward()
    return counter.get_total_flops() / len(batch)


def _plan(job: str) -> Plan:
    return Plan(
        name=job,
        where="",
        run=job,
        epochs=1,
        optimizer=OptimizerSpec(**json.loads(os.environ.get("GYRFALCON_BENCH_OPTIMIZER", "{}"))),
        monitor="auc",
        larger_is_better=True,
        patience=1,
        checkpoint_seconds=1e9,
    )


def main() -> None:
    """Run one job and say what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("files", nargs=3, type=Path, metavar=("TRAIN", "VALID", "FOLDER"))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(json.dumps(measure(asked.job, asked.mode, tuple(asked.files), rows=asked.rows, seed=asked.seed)), flush=True)


if __name__ == "__main__":
    main()
