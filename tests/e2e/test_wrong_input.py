"""Each row of the table of wrong inputs: exit 2, one message with place and cure, the good run untouched."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.run import Outcome, contents, gyrfalcon, in_process, leftovers, started
from tests.e2e.wrong import WRONG, Wrong, write


@pytest.fixture(scope="module")
def files_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good run on files. Don't change it."""
    folder = tmp_path_factory.mktemp("files")
    outcome = gyrfalcon("run", write(folder), "--runs-dir", folder / "runs")
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def files(files_run: Path, tmp_path: Path) -> Path:
    """A copy of the files and of the good run, to be spoiled."""
    return shutil.copytree(files_run, tmp_path / "files", copy_function=shutil.copy2)


def one_message(outcome: Outcome) -> str:
    """The only message of a user's error."""
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    assert len(outcome.errors) == 1, outcome.err
    assert outcome.errors[0].startswith("error: ")
    assert len(outcome.errors[0]) < 600
    return outcome.errors[0]


def results(runs: Path) -> dict[str, bytes]:
    """What a run has made, without the memory of hashes."""
    return {name: data for name, data in contents(runs).items() if ".hashes" not in name}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_wrong_input(files: Path, wrong: Wrong) -> None:
    before = results(files / "runs")
    wrong.spoil(files)
    message = one_message(in_process("run", files / "config.yaml", "--runs-dir", files / "runs"))
    for word in wrong.words:
        assert word in message, message
    assert results(files / "runs") == before
    assert leftovers(files / "runs/smoke") == []


def test_every_fault_of_a_config_is_told(files: Path) -> None:
    text = (files / "config.yaml").read_text()
    (files / "config.yaml").write_text(text.replace("epochs: 1", "epoch: 1").replace("seed: 42", "seed: x"))
    outcome = gyrfalcon("run", files / "config.yaml")
    assert outcome.code == 2
    assert len(outcome.errors) == 2


def test_a_disk_that_fills_up(files: Path) -> None:
    """A limit on the size of files stands for a full disk: the system refuses a write half-way."""
    before = results(files / "runs")
    outcome = gyrfalcon(
        "run", files / "config.yaml", "--runs-dir", files / "runs", "--from", "etl", limits="trap '' XFSZ; ulimit -f 8"
    )
    message = one_message(outcome)
    assert "ulimit -f" in message or "disk" in message
    assert results(files / "runs") == before
    assert leftovers(files / "runs/smoke") == []


def test_a_directory_that_can_not_be_written(files: Path) -> None:
    (files / "blocked").write_text("a file where a directory should be")
    outcome = gyrfalcon("run", files / "config.yaml", "--runs-dir", files / "blocked")
    assert "--runs-dir" in one_message(outcome)


def test_no_config() -> None:
    assert "no such file" in one_message(gyrfalcon("run", "none.yaml"))


@pytest.mark.parametrize("words", [("verify", "."), ("recommend", ".", "--user", "1"), ("report", ".")])
def test_what_is_no_bundle_and_no_run(words: tuple[str, ...], tmp_path: Path) -> None:
    one_message(gyrfalcon(words[0], tmp_path, *words[2:]))


def test_no_gpu(files: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert "--device cpu" in one_message(gyrfalcon("run", files / "config.yaml", "--device", "cuda"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_says_what_is_kept(files: Path, number: signal.Signals) -> None:
    words = ("run", files / "config.yaml", "--runs-dir", files / "other", "--set", "train.ranker.epochs=2000")
    with started(*words, "--set", "train.ranker.patience=2000") as process:
        deadline = time.monotonic() + 60
        # After an epoch every import is done; one that is cut short warns of its open file under -W error.
        while not list((files / "other").glob("smoke/.work/ranker-*/best-*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted in stage ranker" in err.splitlines()[-1]
    assert "run the same command to go on" in err.splitlines()[-1]
    assert (files / "other/smoke/etl/manifest.json").exists()


def test_a_second_process_is_refused(files: Path) -> None:
    from pipeline.lock import locked

    with locked(files / "runs/smoke"):
        message = one_message(gyrfalcon("run", files / "config.yaml", "--runs-dir", files / "runs"))
    assert "another process" in message
