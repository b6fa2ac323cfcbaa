"""Bars tell the truth: each row counts once a pass, however often an engine reads it."""

from __future__ import annotations

import logging
import random
import re

import polars as pl
import pytest

from core import progress
from etl import ticks
from etl.engines import CpuEngine
from etl.graph import Node
from etl.ops import Categorify, FillMedian, LogOp, Normalize
from etl.workflow import Workflow

from .conftest import Desk, log

ROWS = 20_000


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pl.LazyFrame:
    draw = random.Random(1)
    frame = pl.DataFrame(
        {
            "x": [draw.random() for _ in range(ROWS)],
            "y": [None if n % 7 == 0 else draw.random() for n in range(ROWS)],
            "s": [f"k{draw.randrange(900)}" for _ in range(ROWS)],
            **{f"id{n}": [draw.randrange(5000) for _ in range(ROWS)] for n in range(9)},
        }
    )
    path = tmp_path_factory.mktemp("ticks") / "rows.parquet"
    frame.write_parquet(path, row_group_size=1000)
    return pl.scan_parquet(path)


IDS = [f"id{n}" for n in range(9)]
CASES: dict[str, tuple[Node, int]] = {
    "nothing learned": (["x"] >> LogOp(), 0),
    "one level": (["x"] >> Normalize(), 1),
    "two levels": (["x", "y"] >> FillMedian() >> LogOp() >> Normalize(), 2),
    "texts": (["s"] >> Categorify(), 1),
    "many ids": (IDS >> Categorify(), 1),
    "all of it": ((["x", "y"] >> FillMedian() >> Normalize()) + ([*IDS, "s"] >> Categorify()), 2),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fit_counts_each_row_once_a_level(case: str, rows: pl.LazyFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(progress._Lines, "advance", lambda self, n: counted.append(n))
    node, levels = CASES[case]
    workflow, engine = Workflow(node), CpuEngine()
    engine.expect(ROWS, 12)
    assert ticks.passes(workflow.plan(rows.collect_schema())) == levels
    with ticks.counted(rows, "fit", levels * ROWS, engine) as frame:
        workflow.fit(frame, engine)
    assert abs(sum(counted) - levels * ROWS) <= levels
    assert engine.rounds == 1


@pytest.mark.parametrize("kind", ["parquet", "csv", "tables"])
def test_every_phase_has_its_line_and_each_is_true(
    kind: str, desk: Desk, flat: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    own = {"parquet": desk, "csv": flat, "tables": desk}[kind]
    if kind == "parquet":
        own.sources = {"interactions": {"path": own.write("alone.parquet", log())}, "roles": own.sources["roles"]}
        own.spec["features"] = [{"columns": ["device"], "ops": ["categorify"]}]
    own.prepare()
    told = dict(
        re.findall(r"(read|look|fit|transform): ([\d,]+ of [\d,]+|[\d,]+) rows in [\d.]+ s.*, done", caplog.text)
    )
    whole = 40 if kind == "csv" else 60
    assert told["look"] == told["transform"] == f"{whole} of {whole}"
    assert told["fit"].split(" of ")[0] == told["fit"].split(" of ")[1]
    assert told.get("read") == (None if kind == "parquet" else str(whole)), "plain Parquet isn't written once more"


def test_a_fit_with_windows_counts_the_rows_that_only_windows_see(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    history = {"history": {"stats": ["count", "rate"], "unit": "s"}}
    desk.spec["features"] = [
        {"columns": ["user_id", "item_id"], "ops": [history, "fill_missing", "normalize"]},
        {"columns": ["device"], "ops": ["categorify"]},
    ]
    desk.prepare()
    assert "fit: 120 of 120 rows" in caplog.text


def test_an_engine_without_counters_tells_all_rows_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    engine = CpuEngine()
    engine.ticks = False
    with ticks.counted(pl.LazyFrame({"a": [1]}), "fit", 1000, engine):
        pass
    assert "fit: 1,000 of 1,000 rows" in caplog.text


def test_lines_tell_the_rate_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = iter([0.0, 20.0, 25.0, 29.0, 40.0])
    monkeypatch.setattr("core.progress.time.monotonic", lambda: next(clock))
    with progress.progress("fit", 2000) as bar:
        bar.advance(500)
        bar.advance(100)
        bar.advance(1400)
    assert [record.getMessage() for record in caplog.records] == [
        "fit: 500 of 2,000 rows in 20.0 s (25 a second), about 60 s left",
        "fit: 2,000 of 2,000 rows in 40.0 s (50 a second), done",
    ]


def test_no_time_is_left_where_nothing_or_all_is_done(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = iter([0.0, 20.0, 40.0, 40.0])
    monkeypatch.setattr("core.progress.time.monotonic", lambda: next(clock))
    with progress.progress("fit", 2000) as bar:
        bar.advance(0)
        bar.advance(2000)
    assert [record.getMessage() for record in caplog.records] == [
        "fit: 0 of 2,000 rows in 20.0 s (0 a second)",
        "fit: 2,000 of 2,000 rows in 40.0 s (50 a second)",
        "fit: 2,000 of 2,000 rows in 40.0 s (50 a second), done",
    ]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    screen = Console(force_terminal=True, width=120, record=True)
    monkeypatch.setattr("core.log.on_terminal", lambda: True)
    monkeypatch.setattr("core.log.console", lambda: screen)
    with progress.progress("fit", 200) as bar:
        bar.advance(200)
        bar.note(loss=0.5)
    shown = screen.export_text()
    assert "200 rows" in shown
    assert "100%" in shown
    assert "a second" in shown
