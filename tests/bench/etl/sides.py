"""The sides of the bench that run in this environment, each in a process of its own.

    python -m tests.bench.etl.sides SIDE SOURCE OUT

13 numbers: nulls 0, log(1 + x), mean 0 and deviation 1. 26 ids: the most frequent value first, ties by value. One
pass of fit, one of transform, Parquet out. Prints one line of JSON. The side `hand` is what somebody who knows Polars
writes for this one job; `replace` and `join` are the two ways to look ids up.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from core.dataset import SPLIT
from etl import Workflow
from etl.engines import CpuEngine
from etl.ops import Categorify, FillMissing, LogOp, Normalize
from tests.bench.etl.rows import IDS, NUMBERS

Tick = Callable[[], None]


def ours(source: Path, out: Path, tick: Tick) -> dict[str, int]:
    """The workflow as a user of the library writes it, and the engine's own sink."""
    frame = pl.scan_parquet(source)
    fitted = Workflow(NUMBERS >> FillMissing() >> LogOp() >> Normalize(), IDS >> Categorify()).fit(frame)
    tick()
    engine = CpuEngine()
    labelled = frame.with_columns(pl.lit(0, pl.Int8).alias(SPLIT))
    engine.sink(fitted.transform(labelled, keep=["label", SPLIT], engine=engine), out)
    tick()
    fitted.save(out / "workflow")
    return {name: fitted.schema[name].cardinality or 0 for name in IDS}


def distinct(source: Path, out: Path, tick: Tick) -> dict[str, int]:
    """One column of ids."""
    frame, engine = pl.scan_parquet(source), CpuEngine()
    fitted = Workflow(["C1"] >> Categorify()).fit(frame)
    tick()
    split = frame.with_columns(pl.lit(0, pl.Int8).alias(SPLIT))
    engine.sink(fitted.transform(split, keep=[SPLIT], engine=engine), out)
    tick()
    return {"C1": fitted.schema["C1"].cardinality or 0}


def by_replace(source: Path, out: Path, tick: Tick) -> dict[str, int]:
    """By hand: ids by `replace_strict`."""
    frame, vocabularies, scaled = _by_hand(source, tick)
    ids = [
        pl.col(name).replace_strict(found[name], _ids(found), default=2, return_dtype=pl.Int32)
        for name, found in vocabularies.items()
    ]
    frame.with_columns(scaled + ids).sink_parquet(out / "rows.parquet", engine="streaming")
    tick()
    return {name: 3 + found.height for name, found in vocabularies.items()}


def by_join(source: Path, out: Path, tick: Tick) -> dict[str, int]:
    """By hand: ids by joins."""
    frame, vocabularies, scaled = _by_hand(source, tick)
    for name, found in vocabularies.items():
        table = found.select(name, _ids(found).alias("id")).lazy()
        frame = (
            frame.join(table, on=name, how="left")
            .drop(name)
            .rename({"id": name})
            .with_columns(pl.col(name).fill_null(2))
        )
    frame.with_columns(scaled).sink_parquet(out / "rows.parquet", engine="streaming")
    tick()
    return {name: 3 + found.height for name, found in vocabularies.items()}


def _by_hand(source: Path, tick: Tick) -> tuple[pl.LazyFrame, dict[str, pl.DataFrame], list[pl.Expr]]:
    frame = pl.scan_parquet(source)
    counts = [
        frame.select(name).drop_nulls().group_by(name).len().sort("len", name, descending=[True, False]) for name in IDS
    ]
    moments = [value for name in NUMBERS for value in (_logged(name).mean(), _logged(name).std().name.suffix("_std"))]
    *found, row = pl.collect_all([*counts, frame.select(moments)], engine="streaming")
    tick()
    m = row.row(0, named=True)
    scaled = [((_logged(name) - m[name]) / m[f"{name}_std"]).cast(pl.Float32) for name in NUMBERS]
    return frame, dict(zip(IDS, found, strict=True)), scaled


def _logged(name: str) -> pl.Expr:
    return pl.col(name).fill_null(0).cast(pl.Float64).log1p()


def _ids(found: pl.DataFrame) -> pl.Series:
    return pl.int_range(3, 3 + found.height, dtype=pl.Int32, eager=True)


SIDES = {"ours": ours, "replace": by_replace, "join": by_join, "distinct": distinct}


def main() -> None:
    """Run one side and say what it took."""
    side, source, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    times = [time.perf_counter()]
    before = _cpu()
    cpu = [before]

    def tick() -> None:
        times.append(time.perf_counter())
        cpu.append(_cpu())

    cardinalities = SIDES[side](source, out, tick)
    figures = {"fit": times[1] - times[0], "wall": times[2] - times[0], "cpu": cpu[2] - before}
    print(json.dumps({**figures, "cardinalities": cardinalities}), flush=True)
    # What threads do at the end is not measured.
    os._exit(0)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
