"""What a search leaves behind: the page, the table, the command line."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from core.errors import UserError
from core.files import read_json
from pipeline.tune.report import page
from pipeline.tune.results import Result, print_table
from pipeline.tune.space import Goal
from pipeline.tune.trials import Trial
from tests.e2e.run import ENVIRONMENT, ROOT, in_process
from tests.pipeline.test_report import Outline
from tests.pipeline.tune import ground

SPACE = {
    "train.ranker.optimizer.rate": {"low": 1e-4, "high": 1e-1, "step": None, "log": True},
    "train.ranker.model.kind": {"choices": ["<script>alert(1)</script>", "dlrm", {"kind": "mlp"}]},
    "train.ranker.patience": {"low": 1, "high": 3, "step": None, "log": False},
}


def trial(number: int, state: str, value: float | None, rate: float, kind: object, **more) -> Trial:
    settings = dict(zip(SPACE, (rate, kind, 1 + number % 3), strict=True))
    epochs = [{"epoch": n, "train_loss": 1.0, "valid": {"logloss": 0.7 - n / 100}} for n in range(1, 1 + number)]
    return Trial(number, settings, state, value, min(number, 1), epochs, 61.0 * number, **more)


TRIALS = (
    trial(1, "failed", None, 0.1, "dlrm", reason="the loss is no longer <b>finite</b>"),
    trial(2, "complete", 0.51, 0.01, "<script>alert(1)</script>"),
    trial(3, "complete", 0.48, 0.002, {"kind": "mlp"}),
    trial(4, "pruned", 0.60, 0.0001, "dlrm"),
    trial(5, "complete", 0.48, 0.002, {"kind": "mlp"}, same_as=3),
)
FOUND = Result("my <run>", Goal("ranker", "logloss", larger_is_better=False), SPACE, TRIALS)


def test_the_page_is_whole_sound_and_shows_titles_as_titles() -> None:
    text = page(FOUND, "name: <i>best</i>\n")
    assert not re.search(r"https?:|//[a-z]|url\(|@import|src=", text)
    outline = Outline(text)
    assert "script" not in outline.names
    assert "&lt;script&gt;" in text
    assert "my &lt;run&gt;: search" in text
    assert "no longer &lt;b&gt;finite" in text
    assert "&lt;i&gt;best" in text
    assert all(after - before <= 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert {link[1:] for link in outline.links} == set(outline.ids)
    pictures = re.findall(r"<svg class.*?</svg>", text, flags=re.DOTALL)
    assert len(pictures) == 2 + len(SPACE)  # by trial, by epoch, and one a setting
    for picture in pictures:
        assert ET.fromstring(picture).attrib["aria-label"]
    assert text == page(FOUND, "name: <i>best</i>\n")


def test_the_page_tells_the_best_and_counts_the_others() -> None:
    text = page(FOUND, "x")
    assert (
        "5 trials of the ranker: 3 complete, 1 given up early, 1 failed, 1 with settings that were tried before."
        in text
    )
    best = text[text.index('<tr class="best-trial">') :]
    assert best.startswith('<tr class="best-trial"><th scope="row">3</th><td class="number">0.002</td>')
    assert text.count('class="best-trial"') == 1
    assert "as trial 3" in text


@pytest.mark.parametrize("trials", [(), TRIALS[:1]])
def test_a_search_without_a_complete_trial_has_a_page(trials) -> None:
    text = page(Result("x", FOUND.goal, SPACE, trials), "")
    assert "Best configuration" not in text
    assert "<svg" not in text


def test_a_search_in_which_all_fail_has_a_table_and_no_best(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    config = ground.write(tmp_path)
    space = "tune.space={train.retriever.optimizer.embedding_rate: [1.0e+38]}"
    outcome = in_process("tune", config, "--runs-dir", tmp_path, "--set", space, "--device", "cpu")
    root = tmp_path / "clubs-tune"
    assert outcome.code == 0
    assert "no trial is complete" in outcome.out
    assert (root / "report.html").exists()
    assert not (root / "best.yaml").exists()
    shown = in_process("tune", root)
    assert "finite" in shown.out


def test_no_trial_begins_when_the_time_is_spent(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    config = ground.write(tmp_path)
    in_process("tune", config, "--runs-dir", tmp_path, "--set", "tune.seconds=0.001", "--device", "cpu")
    assert len(read_json(tmp_path / "clubs-tune" / "tune.json")["trials"]) == 1


def test_the_command_line_tells_what_is_wrong(tmp_path: Path) -> None:
    config = ground.write(tmp_path)
    dry = in_process("tune", config, "--runs-dir", tmp_path / "runs", "--dry-run")
    assert dry.code == 0
    assert "retriever: recall@5 on the validation split" in dry.out
    assert not (tmp_path / "runs").exists()
    for words in (
        (config, "--set", "tune.space={train.retriever.epoch: [1]}"),
        (tmp_path,),
        (tmp_path / "none.yaml",),
        (config, "--device", "tpu"),
    ):
        outcome = in_process("tune", *words)
        assert outcome.code == 2, words
        assert outcome.errors
    with pytest.raises(UserError, match=r"tune\.json is missing"):
        print_table(tmp_path)
    (tmp_path / "tune.json").write_text('{"version": 1}')
    with pytest.raises(UserError, match="tells of no search"):
        print_table(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGKILL", -9)])
def test_a_search_that_was_stopped_from_outside_goes_on(tmp_path: Path, name: str, code: int) -> None:
    pytest.importorskip("optuna")
    config = ground.write(tmp_path)
    stopped = (
        "import os, signal; from pipeline import cli; from train.track.epochs import listening\n"
        "def stop(epoch):\n"
        f"    if (epoch.directory.parent.name, epoch.number) == ('2', 2): os.kill(os.getpid(), signal.{name})\n"
        "with listening(stop): cli.main()"
    )
    command = [sys.executable, "-c", stopped, "tune", str(config), "--runs-dir", str(tmp_path), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, check=False, timeout=200)
    assert done.returncode == code, done.stderr
    if name == "SIGINT":
        assert "interrupted in trial 2: 1 trial and the last checkpoint of this one are kept" in done.stderr
    whole = tmp_path / "whole"
    for runs in (tmp_path, whole):
        assert in_process("tune", config, "--runs-dir", runs, "--device", "cpu").code == 0
    resumed, straight = (read_json(runs / "clubs-tune" / "tune.json")["trials"] for runs in (tmp_path, whole))
    assert [ground.settled(one) for one in resumed] == [ground.settled(one) for one in straight]
