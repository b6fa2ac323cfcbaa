"""The rows that peers and we learn from: their two Parquet files, through our own ETL.

Nulls of numbers become 0, then log(1 + x), mean 0 and deviation 1; every id that occurs in the training rows has a
row of its own, as in the peers' preparation. Fitted on the training rows alone.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import polars as pl

from core.dataset import SPLIT, TARGET
from etl import Workflow
from etl.engines import CpuEngine
from etl.ops import Categorify, FillMissing, LogOp, Normalize
from pipeline.generate import criteo_like
from tests.bench.etl.rows import IDS, NUMBERS
from train.batch import Features

GROUP = 131_072
"""Rows of a row group, as the ETL stage writes them."""


def prepared(train: Path, valid: Path, folder: Path, *, rows: int | None = None) -> tuple[Path, Path, Features]:
    """The prepared files of both splits and their features; made once for files of this age.

    Args:
        train: Raw training rows: `label`, `I1` ... `I13`, `C1` ... `C26`.
        valid: Raw rows that judge.
        folder: Where to keep what is prepared.
        rows: Take the first so many training rows alone; None: all.
    """
    made = folder / f"ours-{rows or 'all'}"
    about = made / "about.json"
    ages = [train.stat().st_mtime, valid.stat().st_mtime]
    if not about.exists() or json.loads(about.read_text())["ages"] != ages:
        _prepare(train, valid, made, rows=rows, ages=ages)
    said = json.loads(about.read_text())
    features = Features(tuple(said["categorical"]), tuple(said["cardinalities"]), tuple(said["continuous"]))
    return made / "train.parquet", made / "valid.parquet", features


def _prepare(train: Path, valid: Path, made: Path, *, rows: int | None, ages: list[float]) -> None:
    started = time.perf_counter()
    made.mkdir(parents=True, exist_ok=True)
    learned = pl.scan_parquet(train) if rows is None else pl.scan_parquet(train).head(rows)
    fitted = Workflow(NUMBERS >> FillMissing() >> LogOp() >> Normalize(), IDS >> Categorify()).fit(learned)
    for name, frame in (("train", learned), ("valid", pl.scan_parquet(valid))):
        labelled = frame.with_columns(pl.lit(0, pl.Int8).alias(SPLIT), pl.col("label").cast(pl.Float32).alias(TARGET))
        found = fitted.transform(labelled, keep=[TARGET, SPLIT], engine=CpuEngine())
        found.drop(SPLIT).sink_parquet(made / f"{name}.parquet", row_group_size=GROUP, compression="lz4")
    sizes = tuple(int(fitted.schema[name].cardinality or 0) for name in IDS)
    features = asdict(Features(tuple(IDS), sizes, tuple(NUMBERS)))
    said = {**features, "ages": ages, "seconds": time.perf_counter() - started}
    (made / "about.json").write_text(json.dumps(said))


def main() -> None:
    """Write training rows and a fifth as many that judge, where no peer's script does: `data FOLDER ROWS`."""
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder / "raw"
    about = criteo_like(raw, rows + rows // 5, 1)
    frame = pl.scan_parquet(raw / "part-*.parquet")
    frame.head(rows).sink_parquet(folder / "train.parquet", row_group_size=100_000)
    frame.tail(rows // 5).sink_parquet(folder / "valid.parquet", row_group_size=100_000)
    print(json.dumps({"bench": "rows", "bayes_auc": about.bayes_auc}), flush=True)


if __name__ == "__main__":
    main()
