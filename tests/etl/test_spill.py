"""Windows laid on disk by key: the same values to the last bit as in memory, and nothing is left behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import polars.exceptions as pe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from core import progress
from core.dataset import ROW, SPLIT, Dataset
from core.errors import UserError
from etl import spill, ticks
from etl.engines import CpuEngine, cpu, slices
from etl.fitted import Fitted
from etl.ops import Categorify, DifferenceLag, Filter, History, Lag, LogOp, Normalize, Rolling, Sessionize
from etl.workflow import Workflow
from tests.e2e.run import contents

from .conftest import Desk

Row = dict[str, Any]

SCHEMA = {"user": pl.Int64(), "shop": pl.String(), "at": pl.Int64(), "price": pl.Float64(), "label": pl.Int8()}
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user": st.integers(1, 5) | st.none(),
            "shop": st.sampled_from(["a", "b", "", None]),
            "at": st.integers(-20, 20) | st.none(),
            "price": st.sampled_from([None, 0.1, -1.25, 7.3, float("inf"), float("nan")]),
            "label": st.sampled_from([0, 1, None]),
        }
    ),
    max_size=25,
)
TEACHER: list[Row] = [
    {"user": 9, "shop": "z", "at": 500, "price": 1.0, "label": 1},
    {"user": 9, "shop": "b", "at": 501, "price": 0.3, "label": 0},
]
CLOCK: dict[str, Any] = {"time": "at", "unit": "s"}
PAST: dict[str, Any] = {"target": "label", "prior": 0.3, **CLOCK}


def nodes() -> list[Any]:
    """Every window, with one and two keys, and windows over what others make."""
    return [
        ["user", "shop"] >> History(["count", "mean", "rate", "since_last", "since_first"], "price", **PAST),
        [["user", "shop"]] >> Rolling(["sum", "rate"], "price", window=[5, "1m"], delay=2, **PAST),
        ["shop", "price"] >> Lag("user", [1, 3], **CLOCK),
        ["shop"] >> Categorify() >> Lag("user", 2, **CLOCK),
        ["price"] >> DifferenceLag(["shop", "user"], [1, -1], "at", future=True),
        ["at"] >> DifferenceLag("user"),
        ["user"] >> Sessionize(3, ["number", "position", "elapsed", "pause"], **CLOCK),
        ["user"] >> Sessionize(3, **CLOCK) >> History(**CLOCK),
    ]


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Spill whatever there is, into many parts, and results into many files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill, "SMALL_ROWS", 0)
        patch.setattr(spill, "BUDGET", 1_000_000)
        patch.setattr(spill, "CHUNK", 512)
        patch.setattr(spill, "_MARK", 16)
        yield


def frame_of(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def spilled(fitted: Any, frame: pl.DataFrame, keep: tuple[str, ...] = ()) -> pl.DataFrame:
    engine = CpuEngine()
    with engine.spilling(frame.lazy()):
        made = fitted.transform(frame, keep=keep, engine=engine)
        assert engine.spill is not None
        assert engine.spill.waiting
        return engine.collect([made])[0]


@cache
def taught() -> Fitted:
    """Infinite values are refused in a fit."""
    return Workflow(*nodes()).fit(frame_of(TEACHER))


@given(rows=ROWS, budget=st.sampled_from([200, 2000, 10**9]))
@settings(max_examples=20, deadline=None)
def test_many_parts_give_what_memory_gives(rows: list[Row], budget: int) -> None:
    frame, fitted = frame_of(rows), taught()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill, "BUDGET", budget)
        made = spilled(fitted, frame)
    assert_frame_equal(made, fitted.transform(frame).collect(), check_exact=True)


@pytest.mark.parametrize("rows", [[], TEACHER[:1], [dict.fromkeys(SCHEMA)] * 3])
def test_no_row_one_row_and_rows_of_nobody(rows: list[Row]) -> None:
    frame, fitted = frame_of(rows), taught()
    assert_frame_equal(spilled(fitted, frame), fitted.transform(frame).collect(), check_exact=True)


def many(rows: int = 10_000) -> pl.DataFrame:
    """Rows enough for several batches, with ties, nulls, and one key that has most of them."""
    n = pl.int_range(rows)
    user = pl.when(n % 3 == 0).then(n * 7919 % 50).when(n % 97 != 0).then(-1)
    drawn = {"shop": (n % 4).cast(pl.String), "at": n * 104_729 % (rows // 3), "price": (n * 31 % 1000) / 7}
    return pl.select(user=user, **drawn, label=(n * 17 % 5 == 0).cast(pl.Int8))


def test_many_rows_in_the_order_in_which_they_stand_or_in_another() -> None:
    frame = many()
    fitted = Workflow(*nodes()).fit(frame)
    # Numbers with gaps, and beyond what 32 bits hold.
    numbered = frame.with_columns(pl.int_range(pl.len()).alias(ROW) * 3_000_000_019)
    for one in (frame, numbered, numbered.sample(fraction=1, shuffle=True, seed=2)):
        assert_frame_equal(spilled(fitted, one), fitted.transform(one).collect(), check_exact=True)


def test_rows_that_go_before_a_window_are_not_seen() -> None:
    frame = many(3000)
    node = ["user", "at", "price"] >> Filter("price > 40") >> Lag("user", **CLOCK)
    fitted = Workflow(node).fit(frame)
    assert_frame_equal(spilled(fitted, frame), fitted.transform(frame).collect(), check_exact=True)


def test_a_fit_learns_the_same_and_computes_each_window_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = many(5000)
    chain = ["user"] >> History(["count", "since_last"], **CLOCK) >> Normalize() >> LogOp() >> Normalize()
    only = pl.col("at") < 900
    done: list[spill.Work] = []
    computed = spill.Spill._computed
    monkeypatch.setattr(spill.Spill, "_computed", lambda *given: done.append(given[1]) or computed(*given))
    states = [step.state for step in Workflow(chain).fit(frame, only=only).steps]
    assert len(done) == 1
    monkeypatch.setattr(spill, "SMALL_ROWS", 10**6)
    assert [step.state for step in Workflow(chain).fit(frame, only=only).steps] == states
    assert len(done) == 1


def windows_of(desk: Desk, split: str) -> None:
    past = {"history": {"stats": ["count", "rate", "since_last"], "unit": "s"}}
    late = {"lag": {"partition_cols": "user_id", "unit": "s"}}
    desk.spec |= {
        "split": split,
        "features": [
            {"columns": ["user_id", "item_id"], "ops": ["categorify"]},
            {"columns": ["user_id", "device"], "ops": [past, "fill_median", "normalize"]},
            {"columns": ["device"], "ops": ["target_encoding", late, "fill_missing"]},
        ],
        "leaks": "off",
    }


@pytest.mark.parametrize("split", ["time", "random"])
def test_a_data_set_has_the_same_bytes(split: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    windows_of(desk, split)
    done: list[Path] = []
    computed = spill.Spill._computed
    monkeypatch.setattr(spill.Spill, "_computed", lambda *given: done.append(given[2]) or computed(*given))
    one = contents(desk.prepare().path)
    # Two histories and a lag: once for the fit and the transform together, once by `describe`, which adds rows.
    assert len(done) == 6
    assert all(place.is_relative_to(desk.path) for place in done)
    monkeypatch.setattr(spill, "SMALL_ROWS", 10**6)
    assert contents(desk.prepare().path) == one
    assert len(done) == 6


def test_the_bar_counts_each_row_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counted: list[int] = []
    monkeypatch.setattr(progress._Lines, "advance", lambda self, n: counted.append(n))
    frame = many(5000).lazy().with_row_index(ROW).with_columns(pl.lit(0, pl.Int8).alias(SPLIT))
    fitted, engine = Workflow(*nodes()).fit(frame), CpuEngine()
    engine.expect(5000, 7)
    with ticks.counted(frame, "transform", 5000, engine) as rows:
        engine.write(fitted, rows, tmp_path, keep=[ROW, SPLIT])
    assert abs(sum(counted) - 5000) <= 1
    assert engine.rounds == 1


# -- and plans that are run slice by slice (`etl.engines.slices`)


def sliced(rows: int, patch: pytest.MonkeyPatch) -> None:
    """Cut plans that can be cut, however few rows they have."""
    patch.setattr(cpu, "rows_at_once", lambda frame, _: rows if slices.sliceable_rows(frame) else None)


@pytest.fixture
def scan(tmp_path: Path) -> pl.LazyFrame:
    many(3000).write_parquet(tmp_path / "rows.parquet", row_group_size=700)
    split = (pl.col("at") > 700).cast(pl.Int8).alias(SPLIT)
    return pl.scan_parquet(tmp_path / "rows.parquet", row_index_name=ROW).with_columns(split)


def test_a_plan_of_spilled_windows_is_cut_and_gives_the_same(
    scan: pl.LazyFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(progress._Lines, "advance", lambda self, n: counted.append(n))
    fitted, made = Workflow(*nodes()).fit(scan), {}
    ways = {"spilled": (0, 10**6), "both": (0, 450), "sliced": (10**6, 450), "neither": (10**6, 10**6)}
    for name, (least, rows) in ways.items():
        monkeypatch.setattr(spill, "SMALL_ROWS", least)
        sliced(rows, monkeypatch)
        engine = CpuEngine()
        engine.expect(3000, 7)
        counted.clear()
        with ticks.counted(scan, "transform", 3000, engine) as frame:
            made[name] = engine.write(fitted, frame, tmp_path / name, keep=[ROW, SPLIT, "user"])
        assert abs(sum(counted) - 3000) <= 1
    # What windows make in memory can't be cut.
    assert {name: len(sunk.files["train"]) for name, sunk in made.items()} == {
        "spilled": 1,
        "both": 7,
        "sliced": 1,
        "neither": 1,
    }
    for split in ("train", "valid"):
        found = [pl.read_parquet(sunk.files[split]) for sunk in made.values()]
        for one in found[:-1]:
            assert_frame_equal(one, found[-1], check_exact=True)


def test_a_fit_that_reads_slice_by_slice_learns_the_same(scan: pl.LazyFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = Workflow(["user"] >> History(["count", "rate"], target="label", **CLOCK) >> Normalize())
    states = [step.state for step in workflow.fit(scan, only=pl.col("at") < 900).steps]
    for name, size in {"FIRST": 64, "READ": 2000, "GIVEN": 700}.items():
        monkeypatch.setattr(slices, name, size)
    assert slices.paced(scan) is not scan
    assert [step.state for step in workflow.fit(scan, only=pl.col("at") < 900).steps] == states


@pytest.mark.parametrize("split", ["time", "random"])
def test_a_data_set_cut_in_slices_is_the_same(split: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    windows_of(desk, split)
    whole = desk.prepare()
    sliced(7, monkeypatch)
    parts = desk.prepare()
    assert len(parts.files("train")) > len(whole.files("train"))
    for part in ("train", "valid", "test"):
        assert_frame_equal(*(pl.read_parquet(one.files(part)) for one in (parts, whole)), check_exact=True)
    assert others(parts) == others(whole)


def others(dataset: Dataset) -> dict[str, Any]:
    """All files but those of the splits, and the manifest, which names them."""
    splits = ("train/", "valid/", "test/", "manifest.json")
    return {name: held for name, held in contents(dataset.path).items() if not str(name).startswith(splits)}


# -- what is left on disk


def broken(error: BaseException) -> Any:
    def result(*_: Any) -> pl.LazyFrame:
        raise error

    return result


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), pe.ComputeError("no such thing"), OSError(errno.EIO, "")])
def test_nothing_is_left_behind(error: BaseException | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frame = many(1000).lazy().with_row_index(ROW).with_columns(pl.lit(0, pl.Int8).alias(SPLIT))
    fitted, engine = Workflow(*nodes()).fit(frame), CpuEngine()
    engine.workplace = tmp_path / "work"
    engine.workplace.mkdir()
    if error is None:
        engine.write(fitted, frame, tmp_path / "out", keep=[ROW, SPLIT])
    else:
        monkeypatch.setattr(spill.Work, "result", broken(error))
        with pytest.raises((KeyboardInterrupt, UserError, OSError)) as caught:
            engine.write(fitted, frame, tmp_path / "out", keep=[ROW, SPLIT])
        assert "disk is full" not in str(caught.value)
    assert list(engine.workplace.iterdir()) == []
    assert (engine.spill, engine._rows) == (None, None)


def test_an_interrupt_between_two_slices_leaves_nothing_behind(
    scan: pl.LazyFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, engine, work = Workflow(*nodes()).fit(scan), CpuEngine(), tmp_path / "work"
    work.mkdir()
    engine.workplace = work
    sliced(450, monkeypatch)
    seen: list[list[Path]] = []

    def interrupted() -> None:
        seen.append([path for path in work.rglob("*") if path.is_file()])
        if len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(cpu, "give_back", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.write(fitted, scan, tmp_path / "out", keep=[ROW, SPLIT])
    # Of the windows only results are left by then.
    assert {path.name.split("-")[0] for path in seen[-1]} == {"whole"}
    assert list(work.iterdir()) == []
    assert engine.spill is None


def test_a_full_disk_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = many(1000)
    fitted = Workflow(*nodes()).fit(frame)
    number = errno.ENOSPC
    full = pe.ComputeError(f"IO error: {os.strerror(number)} (os error {number})")
    monkeypatch.setattr(spill.Work, "result", broken(full))
    with pytest.raises(UserError, match="the disk is full; the rows that windows work on") as caught:
        spilled(fitted, frame)
    assert "TMPDIR" in str(caught.value.cure)


@pytest.mark.parametrize(("key", "parts"), [(1, [1, 6]), ("a text", [2, 14])])
def test_parts_follow_from_the_budget(key: int | str, parts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    work = spill.Work(pl.LazyFrame({"row": [0], "key": [key], "x": [2]}), "row", ["key"], lambda rows: rows, copies=2)
    monkeypatch.setattr(spill, "BUDGET", 512 * 2**20)
    assert [work.parts(rows) for rows in (0, 10, 10**6, 10**7, 10**12)] == [1, 1, *parts, spill.MOST_PARTS]


def test_how_often_each_row_is_sorted() -> None:
    engine = CpuEngine()
    with engine.spilling(frame_of([]).lazy()):
        taught().transform(frame_of([]), engine=engine)
        assert engine.spill is not None
        copies = [work.copies for work, _ in engine.spill._waiting]
    # Two histories, a rolling of two windows, two lags, two differences, a session, one more and a history of it.
    assert copies == [2, 2, 4, 2, 2, 1, 1, 1, 1, 2]
