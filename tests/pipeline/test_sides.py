"""Figures of further targets in what people read."""

from pathlib import Path

from pipeline.commands.compare import lines
from pipeline.commands.judged import JudgedRun
from pipeline.report import results
from pipeline.report.files import Run
from pipeline.sides import sides_of, title_of

from .made_run import figures, metrics, write_run


def told() -> dict:
    """Metrics of a run whose ranker knows a second target."""
    found = metrics()
    sale = {"target": "sale", "model": "dlrm", "test": figures(0.75, 0.4), "baselines": {}}
    found["ranker"] |= {"target": "click", "targets": {"sale": sale}}
    return found


def test_each_target_is_a_side() -> None:
    sides = sides_of(told())
    assert list(sides) == ["retriever", "ranker", "ranker sale"]
    assert [title_of(side, part) for side, part in sides.items()] == ["retriever", "ranker (click)", "ranker (sale)"]
    assert list(sides_of(metrics())) == ["retriever", "ranker"]


def test_the_report_has_a_table_of_each(tmp_path: Path) -> None:
    write_run(tmp_path, metrics=told())
    titles = [table.title for table in results.tables(Run.read(tmp_path))]
    assert titles[:3] == [
        "Ranker (click) on the test split",
        "Ranker (click) on the validation split",
        "Ranker (sale) on the test split",
    ]


def test_runs_are_compared_by_each(tmp_path: Path) -> None:
    runs = [JudgedRun(tmp_path / name, told()) for name in ("one", "two")]
    assert [run.sides() for run in runs] == [["retriever", "ranker", "ranker sale"]] * 2
    table = list(lines(runs, "ranker sale", "test", 0.95))
    assert ("AUC", "one", "dlrm", "0.7500", "", "", "") in table
