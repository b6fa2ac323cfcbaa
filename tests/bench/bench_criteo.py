"""Criteo-like rows through the ETL and one epoch of DLRM, beside the same feature engineering written by hand.

    make bench ARGS="-k criteo"          GYRFALCON_BENCH_ROWS=1000000 make bench ARGS="-k criteo"

The plan by hand does what our workflow does to the rows and no more: our stage also checks them, joins nothing,
splits, profiles, and writes schema, manifest and hashes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]
ROOT = Path(__file__).resolve().parents[2]
ROWS = int(os.environ.get("GYRFALCON_BENCH_ROWS", "3000000"))
HAND = """
import resource, sys, time
import polars as pl

source, target = sys.argv[1:]
frame = pl.scan_parquet(source)
ids = [f"C{n}" for n in range(1, 27)]
numbers = [f"I{n}" for n in range(1, 14)]
start = time.perf_counter()
logged = {c: pl.col(c).fill_null(0).clip(0).cast(pl.Float64).log1p() for c in numbers}
counts = [frame.select(c).drop_nulls().group_by(c).len().filter(pl.col("len") >= 6) for c in ids]
ranked = [count.sort(["len", count.collect_schema().names()[0]], descending=[True, False]) for count in counts]
means = [e.mean().alias(c + "m") for c, e in logged.items()]
moments = frame.select(*means, *[e.std().alias(c + "s") for c, e in logged.items()])
*vocabularies, moments = pl.collect_all([*ranked, moments], engine="streaming")
m = moments.row(0, named=True)
codes = [pl.int_range(3, 3 + len(v), dtype=pl.Int32, eager=True) for v in vocabularies]
encoded = [
    pl.col(c).replace_strict(v[c], code, default=2, return_dtype=pl.Int32)
    for c, v, code in zip(ids, vocabularies, codes)
]
scaled = [((e - m[c + "m"]) / m[c + "s"]).cast(pl.Float32) for c, e in logged.items()]
frame.with_columns(scaled + encoded).sink_parquet(target, engine="streaming", compression="lz4")
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def run(*arguments: str) -> str:
    """Run a Python process on the working tree; give what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_criteo_like_rows_end_to_end(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    run("-m", "pipeline.cli", "data", "generate", str(raw), "--rows", str(ROWS))
    source = str(raw / "part-*.parquet")
    hand_seconds, hand_peak = map(float, run("-c", HAND, source, str(tmp_path / "hand.parquet")).split())
    run(
        "-m",
        "pipeline.cli",
        "run",
        str(ROOT / "configs" / "criteo_dlrm.yaml"),
        "--until",
        "evaluate",
        "--device",
        "cpu",
        "--runs-dir",
        str(tmp_path / "runs"),
        "--set",
        f"data.interactions={{path: '{source}'}}",
        "--set",
        "etl.engine=cpu",
    )
    folder = tmp_path / "runs" / "criteo_dlrm"
    stages = json.loads((folder / "manifest.json").read_text())["stages"]
    metrics = json.loads((folder / "metrics.json").read_text())["ranker"]
    about = json.loads((raw / "about.json").read_text())
    show(stages, hand_seconds, hand_peak)
    print(
        f"  test AUC: dlrm {metrics['test']['auc']:.4f}, logistic "
        f"{metrics['baselines']['logistic']['test']['auc']:.4f}, the generator's own {about['bayes_auc']:.4f}"
    )


def show(stages: dict, hand_seconds: float, hand_peak: float) -> None:
    """Print the stages that are measured here."""
    phases = {name: done["seconds"] for name, done in stages["etl"]["figures"]["phases"].items()}
    total, core = sum(phases.values()), phases["fit"] + phases["transform"]
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.items())
    etl, ranker = stages["etl"], stages["ranker"]
    print(f"  etl: {total:.1f} s, {ROWS / total:,.0f} rows/s, peak {mib(etl)} MiB ({told})")
    print(f"  by hand in Polars: {hand_seconds:.1f} s, peak {hand_peak:,.0f} MiB")
    print(f"  fit and transform take {core / hand_seconds:.2f} of the time by hand")
    print(f"  one epoch of dlrm: {ranker['figures']['rows_per_second']:,.0f} rows/s, peak {mib(ranker)} MiB")


def mib(stage: dict) -> str:
    """Peak memory of a stage."""
    return f"{stage['peak_memory_bytes'] / 2**20:,.0f}"
