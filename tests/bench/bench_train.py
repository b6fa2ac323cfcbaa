"""Training speed: our step against the usual one, in one process, turn about.

    pytest -m bench -s tests/bench/bench_train.py        or        python -m tests.bench.bench_train

26 tables of 2 million rows in all, 16 wide, 13 numbers, zipf ids, batch 4096. The usual step is what most
libraries do: one `nn.Embedding` a feature with dense gradients, and Adam on everything. Figures, never a gate.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from core.dataset import TARGET
from train.batch import Batch, Features
from train.determinism import deterministic, seeded
from train.layers.interaction import DotInteraction
from train.layers.mlp import Mlp
from train.loader import Loader
from train.losses.pointwise import binary_cross_entropy
from train.models.rank.base import RankerModel
from train.models.rank.dcn_v2 import DcnV2Spec
from train.models.rank.dlrm import DlrmSpec
from train.optim.mover import Mover
from train.precision import fast_products
from train.spec import OptimizerSpec

BATCH, WIDTH, ROUNDS = 4096, 16, 8
CPU = torch.device("cpu")
SIZES = tuple(int(size) for size in np.geomspace(10, 800_000, 26))
FEATURES = Features(tuple(f"c{number}" for number in range(26)), SIZES, tuple(f"d{number}" for number in range(13)))


class UsualDlrm(nn.Module):
    """DLRM of the same sizes with a table a feature."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, WIDTH) for size in SIZES)
        self.bottom = Mlp(13, (512, 256, WIDTH))
        self.interaction = DotInteraction(27)
        self.top = Mlp(self.interaction.outputs + WIDTH, (512, 256), out=1)

    def forward(self, batch: Batch) -> Tensor:
        dense_BE = self.bottom(batch.dense_BD)
        vectors = [table(batch.ids_BF[:, place]) for place, table in enumerate(self.tables)]
        products_BP = self.interaction(torch.stack([dense_BE, *vectors], dim=1))
        logit_B: Tensor = self.top(torch.cat([dense_BE, products_BP], 1)).squeeze(1)
        return logit_B


def batches(count: int, device: torch.device = CPU) -> list[Batch]:
    """Batches with zipf ids, in memory."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(count):
        ids = np.stack([np.minimum(random.zipf(1.2, BATCH), size) - 1 for size in SIZES], 1).astype(np.int32)
        dense = random.normal(size=(BATCH, 13)).astype(np.float32)
        target = (random.random(BATCH) < 0.3).astype(np.float32)
        made.append(Batch(torch.from_numpy(ids), torch.from_numpy(dense), torch.from_numpy(target)).to(device))
    return made


def our_step(model: RankerModel, device: torch.device = CPU) -> Callable[[Batch, int], None]:
    """A step as the trainer makes it."""
    with seeded(0, device):
        module = model.build(FEATURES).to(device)
    mover = Mover(module, OptimizerSpec(), steps=10**6)

    def step(batch: Batch, number: int) -> None:
        with fast_products(device), deterministic():
            binary_cross_entropy(module(batch), batch.target_B).backward()
            mover.step(number)

    return step


def usual_step(device: torch.device = CPU) -> Callable[[Batch, int], None]:
    """The step of most libraries."""
    module = UsualDlrm().to(device)
    adam = torch.optim.Adam(module.parameters(), lr=1e-3)

    def step(batch: Batch, number: int) -> None:
        adam.zero_grad()
        binary_cross_entropy(module(batch), batch.target_B).backward()
        adam.step()

    return step


def seconds(step: Callable[[Batch, int], None], data: list[Batch], number: int) -> float:
    """Time of a step, mean over some batches."""
    started = time.perf_counter()
    for place, batch in enumerate(data):
        step(batch, number + place)
    if data[0].ids_BF.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / len(data)


def compare(device: torch.device = CPU) -> dict[str, float]:
    """Samples a second of each variant, and the ratios of paired rounds."""
    data = batches(3, device)
    steps = {
        "usual dlrm": usual_step(device),
        "dlrm": our_step(DlrmSpec(embedding_dim=WIDTH), device),
        "dcn_v2": our_step(DcnV2Spec(embedding_dim=WIDTH), device),
    }
    for step in steps.values():
        seconds(step, data, 0)
    rounds = [{name: seconds(step, data, 3 * turn + 3) for name, step in steps.items()} for turn in range(ROUNDS)]
    figures = {name: BATCH / statistics.median(one[name] for one in rounds) for name in steps}
    for name in ("dlrm", "dcn_v2"):
        figures[f"{name} / usual"] = statistics.median(one["usual dlrm"] / one[name] for one in rounds)
    return figures


def loader_rate(rows: int = 500_000) -> float:
    """Rows a second of the loader alone, shuffled, 39 feature columns."""
    random = np.random.default_rng(0)
    columns = {
        name: random.integers(0, size, rows, dtype=np.int32)
        for name, size in zip(FEATURES.categorical, SIZES, strict=True)
    }
    columns |= {name: random.normal(size=rows).astype(np.float32) for name in (*FEATURES.continuous, TARGET)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "part-00000.parquet"
        pl.DataFrame(columns).write_parquet(file, row_group_size=131_072)
        loader = Loader([file], FEATURES, BATCH, shuffle=True)
        best = 1e9
        for epoch in range(4):
            started = time.perf_counter()
            assert sum(len(batch) for batch in loader.epoch(epoch)) == rows
            best = min(best, time.perf_counter() - started)
    return rows / best


@pytest.mark.bench
def test_training_speed() -> None:
    for name, value in compare().items():
        print(f"{name}: {value:,.2f}" if "/" in name else f"{name}: {value:,.0f} samples a second")
    print(f"loader: {loader_rate():,.0f} rows a second")


if __name__ == "__main__":
    test_training_speed()
    sys.exit()
