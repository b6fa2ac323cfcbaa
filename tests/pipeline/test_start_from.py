"""Runs that go on from earlier ones: when they run again, what they refuse, and what a stop leaves."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import polars as pl
import pytest

from core.files import hash_tree
from pipeline.report.files import Run
from pipeline.report.stages import learned
from tests.e2e.run import in_process, started

CONFIG = """\
name: {name}
data: {{interactions: {{path: {name}.parquet}}, roles: {{time: stamp}}}}
etl:
  engine: cpu
  target: {{column: click}}
  split: {{by: time, valid: 0.1, test: 0.1}}
  features: [{{columns: [city], ops: [categorify]}}]
  {start}
train: {{ranker: {{model: mlp}}}}
"""


class Week:
    """A folder with the rows and the config of each day; runs lie beside it."""

    def __init__(self, path: Path) -> None:
        self.runs = path / "runs"
        self.configs = path / "configs"
        self.configs.mkdir()
        self.day("monday", "aac")
        self.day("tuesday", "bcab", "start_from: monday")

    def day(self, name: str, cities: str, start: str = "") -> None:
        rows = len(cities) * 20
        frame = pl.DataFrame({"city": list(cities) * 20, "click": [0, 1] * (rows // 2), "stamp": range(rows)})
        frame.write_parquet(self.configs / f"{name}.parquet")
        (self.configs / f"{name}.yaml").write_text(CONFIG.format(name=name, start=start))

    def etl(self, name: str, *words: str):
        return in_process("etl", self.configs / f"{name}.yaml", "--runs-dir", self.runs, *words)

    def done(self, name: str) -> dict:
        return json.loads((self.runs / name / "manifest.json").read_text())["stages"]["etl"]


@pytest.fixture
def week(tmp_path: Path) -> Week:
    return Week(tmp_path)


def test_an_earlier_run_by_its_name_or_by_a_path(week: Week) -> None:
    assert week.etl("monday").code == 0
    assert week.etl("tuesday").code == 0
    first = week.done("tuesday")
    assert first["figures"]["learned"]["ids"] == {"city": [5, 6]}
    assert first["figures"]["learned"]["earlier"] is not None
    assert "start_from" in first["inputs"]
    for place in ("../runs/monday/etl", str(week.runs / "monday/etl/workflow")):
        week.day("tuesday", "bcab", f"start_from: {place}")
        assert week.etl("tuesday").code == 0
        assert week.done("tuesday") == first, "where it lies does not count"


def test_it_runs_again_when_the_earlier_workflow_changed(week: Week) -> None:
    week.etl("monday")
    week.etl("tuesday")
    before = week.done("tuesday")
    assert "unchanged" in week.etl("tuesday", "--dry-run").out
    week.day("monday", "xxy")
    week.etl("monday")
    assert "changed: input start_from" in week.etl("tuesday", "--dry-run").out
    assert week.etl("tuesday").code == 0
    assert week.done("tuesday")["figures"]["learned"]["ids"] == {"city": [5, 8]}
    assert week.done("tuesday")["key"] != before["key"]
    week.day("tuesday", "bcab")
    assert week.etl("tuesday").code == 0
    assert week.done("tuesday")["figures"]["learned"]["earlier"] is None, "without start_from it is a first fit"


def test_what_is_refused_leaves_everything_as_it_was(week: Week) -> None:
    week.etl("monday")
    before = hash_tree(week.runs)
    week.day("monday", "aac", "start_from: monday")
    week.day("tuesday", "bcab", "start_from: sunday")
    wrong = [("monday", "a run can't start from itself"), ("tuesday", "no fitted workflow to start from")]
    config = week.configs / "wednesday.yaml"
    week.day("wednesday", "bcab", "start_from: monday")
    config.write_text(config.read_text().replace("ops: [categorify]", "ops: [{hash_bucket: {num_buckets: 9}}]"))
    wrong.append(("wednesday", "city passes through hash_bucket, where it was categorify"))
    for name, told in wrong:
        outcome = week.etl(name)
        assert outcome.code == 2
        assert told in outcome.err.replace("\n", " ")
    after = hash_tree(week.runs)
    assert {name: after[name] for name in before} == before


def test_an_interrupted_update_loses_nothing(week: Week) -> None:
    week.etl("monday")
    before = hash_tree(week.runs / "monday")
    week.day("tuesday", "bcab" * 50_000, "start_from: monday")
    process = started("etl", week.configs / "tuesday.yaml", "--runs-dir", week.runs)
    etl = week.runs / "tuesday"
    while not list(etl.glob(".tmp-*")) and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it could be interrupted"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert hash_tree(week.runs / "monday") == before
    assert week.etl("tuesday").code == 0
    assert week.done("tuesday")["figures"]["learned"]["ids"] == {"city": [5, 6]}
    assert not list(etl.glob(".tmp-*"))


def test_the_report_says_what_was_learned_from(week: Week, tmp_path: Path) -> None:
    week.etl("monday")
    week.etl("tuesday")
    told = [learned(Run.read(week.runs / name)) for name in ("monday", "tuesday")]
    assert told[0] == []
    # 60 and 80 rows, of which 80 % are for training.
    assert [(one.label, one.value, one.note) for one in told[1]] == [
        ("Learned from", "112 rows", "64 of this run; new ids: city 1")
    ]


class Trained(Week):
    """The same with trainings; Tuesday's begins with Monday's weights."""

    start = "start_from: monday"

    def day(self, name: str, cities: str, start: str = "", *, train: str | None = None, width: int = 4) -> None:
        super().day(name, cities, start)
        config = self.configs / f"{name}.yaml"
        begun = (self.start if start else "") if train is None else train
        model = f"{{kind: mlp, embedding_dim: {width}, hidden: [8]}}"
        ranker = f"{{model: {model}, epochs: 1, {begun}}}"
        config.write_text(config.read_text().replace("{ranker: {model: mlp}}", f"{{ranker: {ranker}}}"))

    def train(self, name: str, *words: str):
        return in_process("run", self.configs / f"{name}.yaml", "--runs-dir", self.runs, "--until", "train", *words)

    def ranker(self, name: str) -> dict:
        return json.loads((self.runs / name / "manifest.json").read_text())["stages"]["ranker"]


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    return Trained(tmp_path)


def test_a_training_begins_with_an_earlier_one_and_follows_its_changes(trained: Trained) -> None:
    assert trained.train("monday").code == 0
    assert trained.train("tuesday").code == 0
    first = trained.ranker("tuesday")
    model = json.loads((trained.runs / "tuesday/train/ranker/model.json").read_text())
    assert list(model["rows_taken_over"].values()) == [{"kept": 5, "fresh": 1, "gone": 0}]
    trained.day("tuesday", "bcab", "start_from: monday", train="start_from: ../runs/monday")
    assert trained.train("tuesday").code == 0
    assert trained.ranker("tuesday") == first, "where it lies does not count"
    assert trained.train("monday", "--set", "train.ranker.epochs=2").code == 0
    told = [line.split(maxsplit=2) for line in trained.train("tuesday", "--dry-run").out.splitlines()]
    assert told == [["etl", "skip", "unchanged"], ["ranker", "run", "changed: input start of ranker"]]


@pytest.mark.parametrize(
    ("train", "etl", "told"),
    [
        ("start_from: sunday", "start_from: monday", "there is no trained ranker to start from"),
        ("start_from: monday", "", "have other ids than those of this run"),
        (
            "start_from: {run: monday, optimizer: true}",
            "start_from: monday",
            "has not kept the memory of its optimizer",
        ),
    ],
)
def test_a_start_that_does_not_fit_is_told(trained: Trained, train: str, etl: str, told: str) -> None:
    assert trained.train("monday").code == 0
    trained.day("tuesday", "bcab", etl, train=train)
    outcome = trained.train("tuesday")
    assert outcome.code == 2
    assert told in " ".join(outcome.err.split())
    assert "train.ranker.start_from" in outcome.err or "optimizer.safetensors" in outcome.err
    assert not (trained.runs / "tuesday/train/ranker/model.json").exists()


def test_a_training_can_not_begin_with_itself(trained: Trained) -> None:
    assert trained.train("monday").code == 0
    trained.day("monday", "aac", train="start_from: monday")
    outcome = trained.train("monday")
    assert outcome.code == 2
    assert "a run can't start from itself" in outcome.err


def test_other_settings_of_the_model_are_told(trained: Trained) -> None:
    assert trained.train("monday").code == 0
    trained.day("tuesday", "bcab", "start_from: monday", width=8)
    outcome = trained.train("tuesday")
    assert outcome.code == 2
    assert "embedding_dim is 8, it was 4" in " ".join(outcome.err.split())
