"""Engines behind their door: what they need, what they write, how they fail."""

from __future__ import annotations

import errno
from pathlib import Path

import polars as pl
import polars.exceptions as pe
import pyarrow.parquet as pq
import pytest

from core.dataset import ROW, SPLIT
from core.errors import MissingExtra, UserError
from core.files import new_directory
from etl import engines
from etl.dataset.sources import TableSpec
from etl.engines import CpuEngine, cudf, devices
from etl.engines.failures import brief, translated
from etl.read import open_table

EXTRAS = {"cudf": "cudf_polars", "dask-cuda": "cudf_polars"}


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudf, "device_count", lambda: 0)
    monkeypatch.setattr(engines, "device_count", lambda: 0)


def test_auto_is_the_cpu_without_a_device(no_device: None) -> None:
    assert engines.make().name == "cpu"


@pytest.mark.parametrize("kind", EXTRAS)
def test_gpu_engines_say_that_the_device_is_missing(kind: str, no_device: None) -> None:
    with pytest.raises(MissingExtra, match=rf"engine {kind}: no CUDA device.*etl.engine: cpu"):
        engines.make(engines.ENGINE_SPECS[kind]())


@pytest.mark.parametrize("kind", EXTRAS)
def test_gpu_engines_say_that_the_package_is_missing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudf, "device_count", lambda: 1)
    monkeypatch.setattr(cudf.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"package cudf_polars is missing.*gyrfalcon\[gpu\]"):
        engines.make(engines.ENGINE_SPECS[kind]())


def test_auto_needs_the_package_as_well_as_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "device_count", lambda: 1)
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    assert engines.make().name == "cpu"


def test_a_device_that_is_hidden_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.device_count.__wrapped__() == 0


def split_rows(count: int = 1000) -> pl.LazyFrame:
    return (
        pl.LazyFrame({"x": range(count)}).with_row_index(ROW).with_columns((pl.col(ROW) % 3).cast(pl.Int8).alias(SPLIT))
    )


def test_sink_writes_each_split_in_order(tmp_path: Path) -> None:
    sunk = CpuEngine().sink(split_rows(), tmp_path, row_group_size=100)
    assert sunk.rows == {"train": 334, "valid": 333, "test": 333}
    for side, split in enumerate(("train", "valid", "test")):
        (file,) = sunk.files[split]
        assert file.name == "part-00000.parquet"
        assert pl.read_parquet(file).to_dict(as_series=False) == {"x": list(range(side, 1000, 3))}
        groups = pq.read_metadata(file)
        assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)][:-1] == [100, 100, 100]


def test_sink_leaves_an_empty_split_empty(tmp_path: Path) -> None:
    sunk = CpuEngine().sink(split_rows().filter(pl.col(SPLIT) != 1), tmp_path)
    assert sunk.files["valid"] == ()
    assert sunk.rows["valid"] == 0
    assert (tmp_path / "valid").is_dir()


def test_a_sink_tells_how_often_it_reads_its_rows(tmp_path: Path) -> None:
    """Rows that a plan reads twice are read twice, not held; the bar divides by it."""
    engine, rounds, counted = CpuEngine(), set(), []

    def tick(rows: pl.DataFrame) -> pl.DataFrame:
        rounds.add(engine.rounds)
        counted.append(rows.height)
        return rows

    rows = split_rows().map_batches(tick, streamable=True)
    engine.sink(rows.join(rows.group_by("x").len(), on="x"), tmp_path)
    assert (rounds, sum(counted), engine.rounds) == ({2}, 2000, 1)


def test_collect_keeps_the_order_of_frames() -> None:
    frame = pl.LazyFrame({"a": [1, 2]})
    assert [one.item() for one in CpuEngine().collect([frame.select(pl.col("a").sum()), frame.select(pl.len())])] == [
        3,
        2,
    ]
    assert CpuEngine().collect([]) == []


def test_a_plan_that_fails_names_the_engine() -> None:
    frame = pl.LazyFrame({"a": ["x"]}).select(pl.col("a").cast(pl.Int64))
    with pytest.raises(UserError, match=r"engine cpu: conversion"):
        CpuEngine().collect([frame])


@pytest.mark.parametrize("kind", [OSError, pe.ComputeError])
def test_a_full_disk_reaches_the_one_who_tells_it(kind: type[Exception], tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="the disk is full"),
        new_directory(tmp_path / "etl"),
        translated("cpu"),
    ):
        raise kind("parquet: underlying IO error: No space left on device (os error 28)")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_a_full_disk_is_no_fault_of_the_table(name: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2]})
    frame.write_csv(tmp_path / name) if name.endswith("csv") else frame.write_parquet(tmp_path / name)

    def work(scan: pl.LazyFrame) -> None:
        raise pe.ComputeError("No space left on device (os error 28)")

    with pytest.raises(OSError, match="No space left") as caught:
        open_table(TableSpec(path=str(tmp_path / name))).read(work)
    assert caught.value.errno == errno.ENOSPC


def test_a_file_that_went_away(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    frame = pl.scan_parquet(path)
    frame.collect_schema()
    path.unlink()
    with pytest.raises(UserError, match="went away"):
        CpuEngine().collect([frame])


def test_long_messages_are_cut() -> None:
    assert len(brief(pe.ComputeError("x" * 9000))) <= 300


def test_parts_of_a_gpu_sink_are_numbered(tmp_path: Path) -> None:
    for name, values in (("part.1.000000", [3]), ("part.0.000001", [2]), ("part.0.000000", [1]), ("part.1.000001", [])):
        pl.DataFrame({"x": values}, schema={"x": pl.Int64}).write_parquet(tmp_path / f"{name}.parquet")
    cudf.number_parts(tmp_path)
    found = sorted(tmp_path.iterdir())
    assert [path.name for path in found] == [f"part-0000{n}.parquet" for n in range(3)]
    assert [pl.read_parquet(path)["x"].item() for path in found] == [1, 2, 3]


@pytest.mark.parametrize(("rows", "executor"), [(1_000, "in-memory"), (10**9, "streaming")])
def test_cudf_streams_what_does_not_fit(rows: int, executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudf, "require_gpu", lambda *_: None)
    monkeypatch.setattr(cudf, "free_memory", lambda: 80 << 30)
    engine = cudf.CudfEngine()
    engine.expect(rows, 40)
    assert engine.polars_engine().config["executor"] == executor
