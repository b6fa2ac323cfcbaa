"""Several targets go all the way: labelled, trained on, judged, exported, verified, compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.run import Outcome, in_process

CONFIG = Path(__file__).with_name("targets.yaml")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    runs = tmp_path_factory.mktemp("targets")
    outcome = in_process("run", CONFIG, "--runs-dir", runs)
    assert outcome.code == 0, outcome.err
    return runs / "targets", outcome


def test_every_target_is_told(ran: tuple[Path, Outcome]) -> None:
    run, outcome = ran
    for words in ("ranker (liked), test split", "ranker (loved), test split", "ranker mmoe (loved) "):
        assert words in outcome.out
    report = (run / "report.html").read_text()
    assert "Ranker (loved) on the test split" in report
    assert [one["name"] for one in json.loads((run / "etl/manifest.json").read_text())["targets"]] == ["liked", "loved"]


def test_the_bundle_is_verified(ran: tuple[Path, Outcome]) -> None:
    outcome = in_process("verify", ran[0] / "bundle")
    assert outcome.code == 0, outcome.err
    told = json.loads((ran[0] / "bundle/schema.json").read_text())["models"]["ranker"]
    assert told["further"] == ["score_liked", "score_loved"]


def test_runs_are_compared_by_every_target(ran: tuple[Path, Outcome]) -> None:
    outcome = in_process("compare", ran[0], ran[0])
    assert outcome.code == 0, outcome.err
    assert "ranker (liked) on test" in outcome.out
    assert "ranker (loved) on test" in outcome.out


def test_another_order_is_another_data_set(ran: tuple[Path, Outcome], tmp_path: Path) -> None:
    text = CONFIG.read_text()
    liked, loved = (f"    {name}: {{column: rating, {rule}}}\n" for name, rule in RULES)
    turned = tmp_path / "targets.yaml"
    turned.write_text(text.replace(liked + loved, loved + liked))
    assert turned.read_text() != text
    outcome = in_process("run", turned, "--runs-dir", ran[0].parent, "--dry-run")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[0].split()[:2] == ["etl", "run"]


RULES = (("liked", "at_least: 4"), ("loved", "equals: 5"))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("train.ranker.weights={hated: 1}", "weights.hated: is of no target of etl.targets"),
        ("export.rank_by={likes: 1}", "rank_by.likes: is of no target of etl.targets; did you mean liked"),
        ("train.ranker.target=love", "names no target of etl.targets; did you mean loved?"),
        ("etl.target={column: rating, at_least: 3}", "stands beside `target`"),
        ("etl.targets.liked.column=stars", "no column stars"),
    ],
)
def test_wrong_settings_end_in_one_line(ran: tuple[Path, Outcome], tmp_path: Path, setting: str, told: str) -> None:
    outcome = in_process("run", CONFIG, "--runs-dir", tmp_path, "--set", setting)
    assert outcome.code == 2
    assert told in "".join(outcome.errors) or told in outcome.err
    assert "Traceback" not in outcome.err


def test_the_main_target_may_hold_every_row_where_another_decides(tmp_path: Path) -> None:
    words = ("run", CONFIG, "--runs-dir", tmp_path, "--dry-run", "--set", "etl.targets.liked={every_row: true}")
    more = ("--set", "train.ranker={model: {kind: mlp}, target: loved}", "--set", "export.rank_by={}")
    assert in_process(*words, *more).code == 0
    refused = in_process(*words)
    assert refused.code == 2
    assert "nothing to tell apart where every row is positive" in refused.err
