"""`gyrfalcon evaluate RUN` and `gyrfalcon compare`: tiny trained runs, and everything that is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from core.dataset import SPLIT, TARGET
from core.files import write_text
from pipeline.commands.compare import lines
from pipeline.commands.judged import JudgedRun
from tests.e2e.run import Outcome, in_process
from tests.train.clubs import write_clubs
from train.metrics.sums import mean
from train.ranker import train_ranker
from train.retriever_training import train_retriever
from train.spec import RankerSpec, RetrieverSpec

CPU = torch.device("cpu")
CONFIG = """\
name: {name}
data: {{interactions: smoke}}
etl:
  target: {{column: rating, at_least: 4}}
  split: {{by: user_time}}
  features: [{{columns: [age], ops: [normalize]}}]
train: {{ranker: {{model: {{kind: logistic}}}}, retriever: {{model: {{kind: popularity}}}}}}
evaluate: {{k: [2, 8]}}
"""


def write_run(place: Path, *, rate: float, seed: int) -> Path:
    """A run of the clubs: counted popularity, and a ranker of a few steps."""
    data = write_clubs(place / "etl")
    optimizer = {"rate": rate, "embedding_rate": rate}
    ranker = {"model": {"kind": "logistic"}, "epochs": 2, "batch_size": 64, "optimizer": optimizer}
    train_ranker(data, RankerSpec.model_validate(ranker), place / "train" / "ranker", seed=seed, device=CPU)
    spec = RetrieverSpec.model_validate({"model": {"kind": "popularity"}})
    train_retriever(data, spec, place / "train" / "retriever", seed=seed, device=CPU)
    write_text(place / "config.yaml", CONFIG.format(name=place.name))
    return place


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two evaluated runs. Don't change them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    made = write_run(folder / "slow", rate=1e-4, seed=0), write_run(folder / "fast", rate=0.3, seed=1)
    for run in made:
        outcome = in_process("evaluate", run, "--device", "cpu")
        assert outcome.code == 0, outcome.err
    torch.set_num_threads(before)
    return made


@pytest.fixture
def copies(runs: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Copies of both, to be disturbed."""
    slow, fast = (Path(shutil.copytree(run, tmp_path / run.name)) for run in runs)
    return slow, fast


def refused(outcome: Outcome, *words: str) -> None:
    """It ended with one error of the user that holds some words."""
    assert outcome.code == 2, outcome.err
    assert len(outcome.errors) >= 1
    for word in words:
        assert word in outcome.err


def test_a_run_is_judged_as_it_lies(runs: tuple[Path, Path]) -> None:
    for run in runs:
        metrics = json.loads((run / "metrics.json").read_text())
        frame = pl.read_parquet(run / "metrics_users.parquet")
        test = frame.filter(split="test", side="retriever", model="popularity")
        assert test.height == metrics["retriever"]["test"]["users"]
        assert mean(test["recall@8"].to_torch()) == pytest.approx(metrics["retriever"]["test"]["recall@8"])
        assert "ranker logistic" in in_process("evaluate", run, "--split", "test").out


def test_one_split_is_printed_and_nothing_is_written(copies: tuple[Path, Path]) -> None:
    run, _ = copies
    for file in (run / "etl" / "test").iterdir():
        file.unlink()  # whoever looks at the test split is found out
    before = (run / "metrics.json").read_bytes()
    outcome = in_process("evaluate", run, "--split", "valid", "--set", "evaluate.k=[3]", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    assert "Recall@3" in outcome.out
    assert "on test" not in outcome.out
    assert (run / "metrics.json").read_bytes() == before


def test_two_runs_in_one_table(runs: tuple[Path, Path]) -> None:
    outcome = in_process("compare", *runs)
    assert outcome.code == 0, outcome.err
    assert "ranker on test, 95 % intervals over users" in outcome.out
    read = [JudgedRun.read(run) for run in runs]
    table = list(lines(read, "ranker", "test", 0.95))
    first, auc = table[:2]
    assert first[:3] == ("AUC", "slow", "logistic")
    assert first[4]
    assert first[5] == ""
    ours, theirs = (one.figures("ranker", "test")["auc"] for one in read)
    assert auc[1] == "fast"
    assert float(auc[5]) == pytest.approx(theirs - ours, abs=1e-4)
    low, high = (float(end) for end in auc[6].split(" to "))
    assert low <= theirs - ours <= high
    # The same popularity in both: every difference and both ends of its interval are zero.
    same = [line for line in lines(read, "retriever", "test", 0.95) if line[1] == "fast"]
    assert len(same) == 14
    assert {line[5] for line in same} == {"+0.0000"}
    assert {line[6] for line in same} == {"+0.0000 to +0.0000", ""}  # coverage is no mean over users


def test_the_validation_split_and_another_confidence(runs: tuple[Path, Path]) -> None:
    outcome = in_process("compare", *runs, "--split", "valid", "--confidence", "0.5")
    assert "retriever on valid, 50 % intervals over users" in outcome.out


def test_without_users_there_are_no_intervals(copies: tuple[Path, Path]) -> None:
    (copies[0] / "metrics_users.parquet").unlink()
    outcome = in_process("compare", *copies)
    assert outcome.code == 0, outcome.err
    assert "no intervals: metrics_users.parquet is missing" in outcome.out
    assert all(line[4] == line[6] == "" for line in lines([JudgedRun.read(p) for p in copies], "ranker", "test", 0.95))


def again(run: Path) -> None:
    assert in_process("evaluate", run, "--device", "cpu").code == 0


def test_other_data_splits_and_protocols_are_refused(copies: tuple[Path, Path]) -> None:
    slow, fast = copies
    file = fast / "etl" / "interactions.parquet"
    frame = pl.read_parquet(file)
    frame.with_columns(
        pl.when(pl.col(SPLIT) == 1).then(2).otherwise(pl.col(SPLIT)).cast(pl.Int8).alias(SPLIT)
    ).write_parquet(file)
    again(fast)
    refused(in_process("compare", slow, fast), "split the same data otherwise", str(fast), "the same data")
    frame.with_columns((1.0 - pl.col(TARGET)).alias(TARGET)).write_parquet(file)
    again(fast)
    refused(in_process("compare", slow, fast), "judged other data than")
    frame.write_parquet(file)
    config = fast / "config.yaml"
    config.write_text(config.read_text().replace("k: [2, 8]", "k: [2, 8], mask_seen: false"))
    again(fast)
    refused(in_process("compare", slow, fast), "other protocols", "mask_seen: False against True")
    protocol = "k: [2, 8], protocol: {kind: sampled, negatives: 9}"
    config.write_text(config.read_text().replace("k: [2, 8], mask_seen: false", protocol))
    again(fast)
    refused(
        in_process("compare", slow, fast), "other protocols", "one among 9 sampled, uniform, seed 0 against all items"
    )


def test_other_features_and_lengths_may_stand_in_one_table(copies: tuple[Path, Path]) -> None:
    slow, fast = copies
    config = fast / "config.yaml"
    config.write_text(config.read_text().replace("k: [2, 8]", "k: [8, 20]"))
    again(fast)
    outcome = in_process("compare", slow, fast)
    assert outcome.code == 0, outcome.err
    assert "Recall@8" in outcome.out
    assert "Recall@2 " not in outcome.out


def test_what_is_no_evaluated_run_is_refused(copies: tuple[Path, Path], tmp_path: Path) -> None:
    slow, fast = copies
    refused(in_process("compare", slow, tmp_path / "nowhere"), "there is no such run", "nowhere")
    refused(in_process("compare", slow), "one run alone")
    refused(in_process("compare", slow, fast, "--confidence", "2"), "2.0 is no confidence")
    refused(in_process("compare", slow, fast, "--split", "train"), "no model in common that was judged on train")
    text = (fast / "metrics.json").read_text()
    for damage, words in (
        (text[: len(text) // 2], "metrics.json"),
        ("[1]", "should be a JSON object"),
        ("{}", "does not tell which data"),
    ):
        (fast / "metrics.json").write_text(damage)
        refused(in_process("compare", slow, fast), words)
    (fast / "metrics.json").unlink()
    refused(in_process("compare", slow, fast), "was not evaluated", f"gyrfalcon evaluate {fast}")


def test_damaged_users_are_refused(copies: tuple[Path, Path]) -> None:
    slow, fast = copies
    (fast / "metrics_users.parquet").write_bytes((fast / "metrics_users.parquet").read_bytes()[:-100])
    refused(in_process("compare", slow, fast), "metrics_users.parquet", "damaged", f"gyrfalcon evaluate {fast}")


def test_a_ranker_ranks_the_catalogue_by_sampled_figures(runs: tuple[Path, Path]) -> None:
    """Asked of a run as it lies; figures of a sampled protocol say so in each name."""
    words = ("--set", "evaluate.protocol={kind: sampled, negatives: 9}", "--set", "evaluate.ranker_catalogue=true")
    outcome = in_process("evaluate", runs[0], "--split", "valid", "--device", "cpu", *words)
    assert outcome.code == 0, outcome.err
    assert "ranker over the catalogue on valid" in outcome.out
    assert "Sampled hit rate@8" in outcome.out
    assert "Recall@8" not in outcome.out
    assert "ranker logistic over the catalogue" in outcome.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--split", "train"), "no split 'train'"),
        (("--set", "train.ranker.epochs=3"), "can't change them"),
        (("--dry-run",), "for configs"),
        (("--set", "evaluate.segments=[nowhere]"), "has a column 'nowhere'"),
    ],
)
def test_what_a_run_cannot_be_asked(runs: tuple[Path, Path], words: tuple[str, ...], told: str) -> None:
    refused(in_process("evaluate", runs[0], *words), told)


def test_no_run_and_no_model_are_told(copies: tuple[Path, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(in_process("evaluate", empty), "there is no run here")
    shutil.rmtree(copies[0] / "train")
    refused(in_process("evaluate", copies[0]), "no trained model")
    refused(in_process("evaluate", tmp_path / "missing.yaml"), "missing.yaml")


def test_segments_are_printed_and_shown_in_the_report(runs: tuple[Path, Path]) -> None:
    from pipeline.report.measures import measure
    from pipeline.report.results import _segments

    outcome = in_process("evaluate", runs[0], "--split", "test", "--device", "cpu")
    assert "retriever popularity on test by segment" in outcome.out
    found = JudgedRun.read(runs[0]).metrics["retriever"]["test"]
    rows = {(row.by, row.name): row for row in _segments(found, {"recall@8": measure("recall@8")})}
    assert set(rows) == {("users", "returning"), ("users", "new"), ("items", "head"), ("items", "tail")}
    new, returning = rows["users", "new"], rows["users", "returning"]
    assert (new.count, new.few) == ("4 users", True)
    assert not returning.few
    assert returning.cells[0].text == f"{found['segments']['users']['returning']['recall@8']:.4f}"
    assert " \N{EN DASH} " in returning.cells[0].interval
