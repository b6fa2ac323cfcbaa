"""Several seeds where people read: the report of a run, and runs compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.compare import seed_lines
from pipeline.commands.judged import JudgedRun
from pipeline.report import write_report
from pipeline.seeds import seeds_of
from tests.pipeline.made_run import metrics, write_run

EACH = {"10": {"test": {"auc": 0.70, "rows": 9}}, "2": {"test": {"auc": 0.74, "rows": 9}}}
SEEDS = {
    "best": 2,
    "each": EACH,
    "mean": {"test": {"auc": 0.72, "rows": 9}},
    "deviation": {"test": {"auc": 0.0283, "rows": 0}},
}


def with_seeds(seeds: dict[str, Any]) -> dict[str, Any]:
    found = metrics()
    return {**found, "ranker": {**found["ranker"], "seeds": seeds}}


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_report_shows_mean_deviation_and_each_seed(tmp_path: Path) -> None:
    run = write_run(tmp_path, without=("bundle",), metrics=with_seeds(SEEDS))
    write_report(run, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count(">Over several seeds") == 1  # valid has no seeds, the retriever was trained once
    shown = plain(page[page.index("Over several seeds") :])
    rows = ["mean n = 2 0.7200", "deviation sample, n - 1 0.0283", "seed 2 kept 0.7400", "seed 10 0.7000"]
    places = [shown.index(row) for row in rows]
    assert places == sorted(places)


def test_the_report_of_a_run_without_seeds_says_nothing_of_them(tmp_path: Path) -> None:
    run = write_run(tmp_path, without=("bundle",))
    write_report(run, tmp_path / "report.html")
    assert "several seeds" not in (tmp_path / "report.html").read_text()


def test_compared_runs_tell_mean_deviation_and_count() -> None:
    one, other = JudgedRun(Path("runs/a"), with_seeds(SEEDS)), JudgedRun(Path("runs/b"), metrics())
    lines = list(seed_lines([one, other], "ranker", "test"))
    assert lines == [("AUC", "a", "dlrm", "0.7200", "0.0283", "2", "2: 0.7400, 10: 0.7000")]
    assert list(seed_lines([one, other], "ranker", "valid")) == []
    assert list(seed_lines([other, other], "ranker", "test")) == []


@pytest.mark.parametrize("deviation", [{"test": {"auc": None}}, {}])
def test_one_seed_alone_has_no_deviation(deviation: dict[str, Any]) -> None:
    told = {"best": 1, "each": {"1": {"test": {"auc": 0.7}}}, "mean": {"test": {"auc": 0.7}}, "deviation": deviation}
    found = seeds_of({"seeds": told}, "test")
    assert found is not None
    assert (found.count, dict(found.deviation)) == (1, {})
    (line,) = seed_lines([JudgedRun(Path("a"), with_seeds(told))], "ranker", "test")
    assert line[3:6] == ("0.7000", "n/a", "1")
