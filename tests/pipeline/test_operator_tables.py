"""A table that an operator names: found beside the config, and a reason to run again when it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.dataset import Dataset
from etl import Fitted
from tests.e2e.run import Outcome, in_process

CONFIG = """
name: joined
data: {interactions: {path: rows.csv}}
etl:
  target: {column: y}
  split: random
  features:
    - {columns: [k], ops: [{join_external: {path: tables/levels.csv, on: k, keep_on: false}}, categorify]}
train: {ranker: {model: logistic}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A config with its rows, and a table in a folder beside it."""
    (tmp_path / "run.yaml").write_text(CONFIG)
    (tmp_path / "rows.csv").write_text("k,y\n" + "".join(f"{n % 4},{n % 2}\n" for n in range(200)))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "levels.csv").write_text("k,level\n0,low\n1,low\n2,high\n")
    return tmp_path


def etl(project: Path) -> Outcome:
    """Run the ETL stage."""
    return in_process("etl", str(project / "run.yaml"), "--runs-dir", str(project / "runs"))


def test_it_lies_beside_the_config_and_is_kept(project, monkeypatch):
    monkeypatch.chdir("/")
    assert etl(project).code == 0
    workflow = Dataset(project / "runs" / "joined" / "etl").workflow_dir
    assert Fitted.load(workflow).schema["level"].cardinality == 5
    assert str(project) not in (workflow / "workflow.json").read_text()


def test_the_stage_runs_again_when_it_changes_and_only_then(project):
    assert etl(project).code == 0
    assert "unchanged" in etl(project).out
    (project / "tables" / "levels.csv").write_text("k,level\n0,low\n1,mid\n2,high\n")
    assert "unchanged" not in etl(project).out
    workflow = Dataset(project / "runs" / "joined" / "etl").workflow_dir
    assert Fitted.load(workflow).schema["level"].cardinality == 6


def test_a_missing_one_is_told(project):
    (project / "tables" / "levels.csv").unlink()
    outcome = etl(project)
    assert outcome.code == 2
    assert "levels.csv" in outcome.err
    assert "Traceback" not in outcome.err


def test_the_error_names_the_place_in_the_config(project):
    text = (project / "run.yaml").read_text().replace("on: k", "on: k, cache: host")
    (project / "run.yaml").write_text(text)
    outcome = etl(project)
    assert outcome.code == 2
    assert "run.yaml:8" in outcome.err
    assert "cache has no meaning here" in outcome.err
