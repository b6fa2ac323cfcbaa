"""The process of NVTabular seen from outside, with a Python that stands in for the real one; and what it is told."""

from __future__ import annotations

import ast
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from core.errors import MissingExtra, UserError
from etl import Workflow
from etl.engines.nvtabular import NvtabularEngine
from etl.nvtabular import process as module
from etl.nvtabular.described import describe
from etl.nvtabular.process import PREFIX, PYTHON, Process, interpreter, room
from etl.ops import (
    Categorify,
    Clip,
    ColumnSimilarity,
    DifferenceLag,
    Dropna,
    FillMedian,
    FillMissing,
    Filter,
    Formula,
    JoinExternal,
    LambdaOp,
    LogOp,
    Normalize,
    Rename,
    TargetEncoding,
    TimeFeatures,
)

# Answers like the worker: hello, then what its argument says for each request.
FAKE = """#!{python}
import json, sys
answers = {answers!r}
print(json.dumps(answers.pop(0)), flush=True)
for line in sys.stdin:
    if not answers:
        print("out of words", file=sys.stderr)
        sys.exit(7)
    print(json.dumps(answers.pop(0)), flush=True)
"""


@pytest.fixture
def fake(tmp_path: Path):
    """A Python that answers so."""

    def make(*answers: dict[str, object]) -> str:
        file = tmp_path / "python"
        file.write_text(FAKE.format(python=sys.executable, answers=list(answers)))
        file.chmod(0o755)
        return str(file)

    return make


def test_requests_are_answered_in_turn(fake, tmp_path: Path) -> None:
    process = Process(fake({"ok": "23.8.0"}, {"ok": 1}, {"ok": {"a": None}}), tmp_path)
    assert process.ask("fit") == 1
    assert process.ask("transform", rows="x") == {"a": None}
    process.close()


def test_its_failure_is_one_line_with_its_words(fake, tmp_path: Path) -> None:
    process = Process(fake({"ok": "23.8.0"}, {"error": "RuntimeError: oh"}), tmp_path)
    with pytest.raises(UserError, match="NVTabular failed in its fit: RuntimeError: oh; docs/nvtabular.md"):
        process.ask("fit")
    process.close()


def test_a_process_that_dies_tells_its_last_words(fake, tmp_path: Path) -> None:
    process = Process(fake({"ok": "23.8.0"}), tmp_path)
    with pytest.raises(UserError, match="ended in its fit with code 7; its last words: out of words"):
        process.ask("fit")
    with pytest.raises(UserError, match="ended in its transform"):
        process.ask("transform")
    process.close()


def test_a_full_disk_is_the_one_of_temporary_files(fake, tmp_path: Path) -> None:
    words = f"OSError: [Errno 28] {os.strerror(errno.ENOSPC)}"
    process = Process(fake({"ok": "23.8.0"}, {"error": words}), tmp_path)
    with pytest.raises(UserError, match=f"failed in its fit: OSError.*; free some space in {tmp_path.parent}.* TMPDIR"):
        process.ask("fit")
    process.close()
    for error in (OSError(errno.ENOSPC, "full"), pl.exceptions.ComputeError("No space left on device (os error 28)")):
        with pytest.raises(UserError, match=f"{tmp_path.parent}: the disk is full .*TMPDIR"), room(tmp_path):
            raise error
    with pytest.raises(OSError, match="other"), room(tmp_path):
        raise OSError(errno.EACCES, "other")


def test_a_worker_whose_parent_was_killed_ends_and_leaves_nothing(tmp_path: Path) -> None:
    """The parent starts it as the engine does, with a module of a kind that never ends its import, and is killed."""
    scratch = tmp_path / f"{PREFIX}x"
    scratch.mkdir()
    (tmp_path / "nvtabular.py").write_text("import time\nopen('begun', 'w')\ntime.sleep(600)\n")
    script = Path(module.__file__).with_name("worker.py")
    parent = (
        "import subprocess, sys, time\n"
        f"made = subprocess.Popen([sys.executable, {str(script)!r}], cwd={str(scratch)!r}, stdin=subprocess.PIPE)\n"
        "print(made.pid, flush=True)\ntime.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    words = [sys.executable, "-c", parent]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        number = int(started.stdout.readline())
        _until((scratch / "begun").exists)
        started.kill()
    _until(lambda: not scratch.exists() and not _runs(number))


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("other", ["echo", "cat", "true"])
def test_what_is_no_python_at_all(other: str) -> None:
    with pytest.raises(MissingExtra, match=f"NVTabular can't be imported by .*{other}") as caught:
        NvtabularEngine(shutil.which(other))
    assert "\n" not in str(caught.value)


def test_an_interpreter_without_nvtabular_or_none_at_all(fake, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(MissingExtra, match="can't be imported by .*No module"):
        NvtabularEngine(fake({"error": "No module named 'nvtabular'"}))
    with pytest.raises(MissingExtra, match="can't be run"):
        NvtabularEngine(str(tmp_path / "none"))
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(module, "_CHECKOUT", tmp_path)
    monkeypatch.delenv(PYTHON, raising=False)
    with pytest.raises(MissingExtra, match="make test-nvtabular"):
        interpreter()
    monkeypatch.setenv(PYTHON, "/usr/bin/python3")
    assert interpreter() == "/usr/bin/python3"


def test_it_cannot_go_on_from_an_earlier_fit(fake) -> None:
    frame, workflow = pl.DataFrame({"c": ["a", "b"]}), Workflow(["c"] >> Categorify())
    with NvtabularEngine(fake({"ok": "23.8.0"})) as engine, pytest.raises(UserError, match="earlier fit; set .*cpu"):
        engine.update(workflow, workflow.fit(frame), frame.lazy())


def test_the_environment_of_the_checkout_is_found(tmp_path: Path, monkeypatch) -> None:
    beside = tmp_path / ".venv-nvtabular" / "bin" / "python"
    beside.parent.mkdir(parents=True)
    beside.touch()
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(module, "_CHECKOUT", tmp_path)
    monkeypatch.delenv(PYTHON, raising=False)
    assert interpreter() == str(beside)


def test_the_worker_is_a_script_for_older_pythons_that_imports_nothing_of_ours() -> None:
    tree = ast.parse((Path(module.__file__).with_name("worker.py")).read_text(), feature_version=(3, 8))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    outside = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert outside == {"nvtabular", "nvtabular.workflow.node"}


SCHEMA = pl.Schema({"x": pl.Float64(), "y": pl.Int8(), "i": pl.Int64(), "c": pl.String()})


def test_a_plan_is_described_step_by_step(tmp_path: Path) -> None:
    filled = ["x", "y"] >> FillMedian()
    node = (filled >> Normalize()) + ((filled - ["x"]) >> LogOp() >> Rename(postfix="_log")) + (["c"] >> Categorify())
    steps, outputs = describe(Workflow(node).plan(SCHEMA), tmp_path)
    told = [(step["number"], step["name"], step["inputs"]) for step in steps]
    assert told == [
        ("1", "FillMedian", [["", ["x", "y"]]]),
        ("2", "Normalize", [["1", None]]),
        ("3", "LogOp", [["1", ["y"]]]),
        ("4", "Rename", [["3", None]]),
        ("5", "Categorify", [["", ["c"]]]),
    ]
    assert outputs == [["2", None], ["4", None], ["5", None]]
    assert len({step["out_path"] for step in steps}) == 5


def test_a_combination_is_asked_for_by_its_name(tmp_path: Path) -> None:
    """NVTabular gives the parts of a combination beside it."""
    steps, outputs = describe(Workflow([["c", "i"]] >> Categorify(encode_type="combo")).plan(SCHEMA), tmp_path)
    assert steps[0]["inputs"] == [["", [["c", "i"]]]]
    assert outputs == [["1", ["c_i"]]]


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (["x", "y"] >> Formula("x + y", "z"), "no operator expression"),
        (["i"] >> TimeFeatures(unit="s"), "no operator time_features"),
        (["x"] >> LambdaOp(lambda x: x + 1), "Python"),
        ((["x"] >> Clip(min=0)) + ["y"], "no operator is applied"),
        (
            [["y", "i"]] >> ColumnSimilarity(pl.DataFrame({"id": [0], "topic": [1]})),
            "similarity .* Python objects",
        ),
        (["c"] >> JoinExternal(pl.DataFrame({"c": ["a"], "z": [1]}), on="c"), "join_external .* Python objects"),
        (["x"] >> Dropna(), "dropna can't be handed to NVTabular: it changes the rows"),
        (["x"] >> DifferenceLag("c"), "looks at earlier rows"),
        (["c"] >> Filter(lambda frame: frame["c"] == "a"), "changes the rows"),
        (((["y"] >> FillMissing(0)) + ["c"]) >> TargetEncoding("y"), "it reads y, which another operator has changed"),
        (
            ((["y"] >> FillMissing(0)) + ["c"]) >> Categorify(groups=(("y", "c"),), encode_type="combo"),
            "groups come from different operators",
        ),
    ],
)
def test_what_cannot_be_described_is_named(node, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        describe(Workflow(node).plan(SCHEMA), tmp_path)
