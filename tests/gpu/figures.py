"""Short figures on a GPU, each beside a limit that is measured in the same run.

Times are medians of repeats between device synchronisations, after warm-up. Shapes as in `train`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import torch

from core.dataset import TARGET, Dataset
from train.batch import Batch, Features

Row = dict[str, Any]
CUDA = torch.device("cuda")
TABLES, ROWS, WIDTH, DENSE = 26, 2_000_000, 16, 13


def seconds(step: Callable[[], object], repeats: int = 10) -> float:
    """Median seconds of one call, the device idle before and after it."""
    for _ in range(3):
        step()
    taken = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return median(taken)


def copy_rate() -> float:
    """Bytes a second of a copy within device memory, read and written: the limit for memory-bound work."""
    source = torch.empty(1 << 28, dtype=torch.float32, device=CUDA)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / seconds(lambda: target.copy_(source))


def random_batch(rows: int, cardinality: int) -> Batch:
    """A batch with zipf-like ids, as click logs have them."""
    uniform = torch.rand(rows, TABLES, device=CUDA)
    ids_BF = (cardinality**uniform - 1).to(torch.int64).clamp_(0, cardinality - 1)
    return Batch(ids_BF, torch.randn(rows, DENSE, device=CUDA), (torch.rand(rows, device=CUDA) < 0.25).float())


def features() -> Features:
    """26 tables of 2 million rows together, and 13 numbers."""
    names = tuple(f"C{number}" for number in range(TABLES))
    return Features(names, (ROWS // TABLES,) * TABLES, tuple(f"I{number}" for number in range(DENSE)))


def limits() -> list[Row]:
    """What the device reaches on a plain copy and a plain matrix product."""
    a = torch.randn(8192, 8192, device=CUDA)
    rows = [{"limit": "copy within device memory", "value": copy_rate() / 1e9, "unit": "GB/s"}]
    for name, dtype, precision in (
        ("fp32", torch.float32, "highest"),
        ("tf32", torch.float32, "high"),
        ("bf16", torch.bfloat16, "high"),
    ):
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)
        b = a.to(dtype)
        rows.append(
            {
                "limit": f"matrix product {name}",
                "value": 2 * 8192**3 / seconds(lambda b=b: b @ b) / 1e12,
                "unit": "TFLOP/s",
            }
        )
        torch.set_float32_matmul_precision(before)
    return rows


def embedding() -> list[Row]:
    """Lookup and exact row-wise Adagrad of the fused table, as a share of the copy rate."""
    from train.layers.embedding import FusedEmbedding
    from train.optim.mover import Mover
    from train.spec import OptimizerSpec

    table = FusedEmbedding(features().cardinalities, WIDTH).to(CUDA)
    mover = Mover(table, OptimizerSpec(), steps=1000)
    limit, rows = copy_rate(), []
    for size in (4096, 65536):
        batch = random_batch(size, ROWS // TABLES)
        looked = size * TABLES * WIDTH * 4

        def look(batch: Batch = batch) -> None:
            with torch.no_grad():
                table(batch.ids_BF)

        def train(batch: Batch = batch) -> None:
            table(batch.ids_BF).sum().backward()
            mover.step(0)

        for name, step, moved in (
            ("lookup", look, 2 * looked),
            ("lookup + backward + row-wise Adagrad", train, 8 * looked),
        ):
            took = seconds(step)
            rows.append(
                {
                    "step": name,
                    "batch": size,
                    "ms": took * 1e3,
                    "rows/s": size / took,
                    "GB/s": moved / took / 1e9,
                    "share of copy rate": moved / took / limit,
                }
            )
    return rows


def training() -> list[Row]:
    """Whole training steps on batches that lie on the device: forward, backward, both optimizers."""
    from train.losses.pointwise import binary_cross_entropy
    from train.models import RANKERS
    from train.optim.mover import Mover
    from train.spec import OptimizerSpec

    rows = []
    for kind in ("dlrm", "dcn_v2"):
        for precision in ("highest", "high"):
            torch.set_float32_matmul_precision(precision)
            for size in (4096, 65536):
                module = RANKERS[kind]().build(features()).to(CUDA)
                mover = Mover(module, OptimizerSpec(), steps=1000)
                batch = random_batch(size, ROWS // TABLES)

                def step(module: torch.nn.Module = module, mover: Mover = mover, batch: Batch = batch) -> None:
                    assert batch.target_B is not None
                    binary_cross_entropy(module(batch), batch.target_B).backward()
                    mover.step(0)

                took = seconds(step)
                name = "fp32" if precision == "highest" else "tf32"
                rows.append(
                    {"model": kind, "precision": name, "batch": size, "ms": took * 1e3, "samples/s": size / took}
                )
    torch.set_float32_matmul_precision("highest")
    return rows


def loader() -> list[Row]:
    """Shuffled batches from Parquet to the device, beside a gather from tensors that already lie there."""
    from train.loader import Loader
    from train.read_cudf import has_cudf

    total, wanted = 2_000_000, features()
    with tempfile.TemporaryDirectory() as folder:
        file = write_rows(Path(folder), total, wanted)
        made = Loader([file], wanted, 65536, shuffle=True, seed=1, device=CUDA)
        took = seconds(lambda: [len(batch) for batch in made], repeats=3)
    ids, dense = random_batch(total, ROWS // TABLES).ids_BF, torch.randn(total, DENSE, device=CUDA)
    order = torch.randperm(total, device=CUDA)
    gather = seconds(lambda: [(ids[part], dense[part]) for part in order.split(65536)], repeats=3)
    how = "cudf" if has_cudf() else "Arrow, pinned copies"
    return [
        {"path": f"Parquet to device ({how})", "rows/s": total / took, "share of the gather": gather / took},
        {"path": "gather on the device (limit)", "rows/s": total / gather, "share of the gather": 1.0},
    ]


def write_rows(folder: Path, rows: int, wanted: Features) -> Path:
    """Encoded rows as the ETL writes them."""
    ids = random_batch(rows, ROWS // TABLES).ids_BF.to(torch.int32).cpu().numpy()
    columns = {name: ids[:, place] for place, name in enumerate(wanted.categorical)}
    columns |= {name: torch.randn(rows).numpy() for name in wanted.continuous}
    columns[TARGET] = (torch.rand(rows) < 0.25).float().numpy()
    file = folder / "part-00000.parquet"
    pl.DataFrame(columns).write_parquet(file, row_group_size=65536, compression="lz4")
    return file


def etl() -> list[Row]:
    """The whole ETL stage of Criteo-like rows on each engine that is here."""
    import importlib.util

    from pipeline.generate import criteo_like

    engines = ["cpu", *(["cudf"] if importlib.util.find_spec("cudf_polars") else [])]
    shown = []
    with tempfile.TemporaryDirectory() as name:
        for rows in (4_000_000, 20_000_000):
            folder = Path(name, str(rows))
            criteo_like(folder / "raw", rows, 7)
            if shown == [] and "cudf" in engines:
                prepare_criteo(folder, "cudf")  # the first run on a GPU loads and compiles kernels
            took = {engine: prepare_criteo(folder, engine) for engine in engines}
            shown += [
                {"rows": rows, "engine": engine, **etl_row(rows, done, took["cpu"])} for engine, done in took.items()
            ]
    return shown


def etl_row(rows: int, done: dict[str, float], cpu: dict[str, float]) -> Row:
    """Seconds of each phase, the rate, and how many times faster than the CPU engine."""
    total = sum(done.values())
    return {**done, "rows/s": rows / total, "times the cpu": sum(cpu.values()) / total}


def prepare_criteo(folder: Path, engine: str) -> dict[str, float]:
    """Seconds of each phase of the ETL stage on an engine."""
    import shutil

    from etl.dataset.prepare import prepare
    from etl.dataset.sources import Sources
    from etl.spec import EtlSpec

    numbers = [f"I{number}" for number in range(1, 14)]
    ids = [f"C{number}" for number in range(1, 27)]
    spec = EtlSpec.model_validate(
        {
            "engine": engine,
            "target": {"column": "label"},
            "split": {"by": "random", "valid": 0.1, "test": 0.1},
            "features": [
                {
                    "columns": numbers,
                    "ops": [{"fill_missing": {"fill_val": 0}}, {"clip": {"min": 0}}, "log", "normalize"],
                },
                {"columns": ids, "ops": ["categorify"]},
            ],
        }
    )
    sources = Sources.model_validate({"interactions": {"path": str(folder / "raw" / "part-*.parquet")}})
    out = folder / engine
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    figures = prepare(sources, spec, out, seed=1)
    assert sum(Dataset(out).manifest()["rows"].values()) > 0
    return {f"{phase} s": done["seconds"] for phase, done in figures["phases"].items()}


FIGURES: dict[str, Callable[[], list[Row]]] = {
    "Limits": limits,
    "Embedding table": embedding,
    "Training steps": training,
    "Loader": loader,
    "ETL": etl,
}
