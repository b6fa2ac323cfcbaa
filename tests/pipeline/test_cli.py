"""The command line: quick help, exit codes, and what each command refuses."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from tests.e2e.run import ENVIRONMENT, ROOT, gyrfalcon, in_process

HEAVY = ("torch", "polars", "pyarrow", "onnx", "onnxruntime", "faiss", "numpy", "pydantic", "rich")


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = f"import sys, pipeline.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, check=True
    )
    assert done.stdout.strip() == "[]"
    times = []
    for _ in range(5):
        # Processor time, so that a busy machine does not fail the test.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        outcome = gyrfalcon("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert outcome.code == 0
    assert min(times) < 0.3
    for command in (
        "run",
        "etl",
        "train",
        "evaluate",
        "export",
        "verify",
        "recommend",
        "serve",
        "data",
        "report",
        "doctor",
    ):
        assert f"\n  {command} " in outcome.out


@pytest.mark.parametrize("words", [(), ("run", "--help"), ("data",), ("--version",), ("doctor",), ("data", "list")])
def test_commands_that_only_tell(words: tuple[str, ...]) -> None:
    outcome = in_process(*words)
    assert outcome.code in (0, 2)  # without a command, the help of a group is a usage error to click
    assert outcome.out or outcome.err


def test_schema_is_a_json_schema_with_every_model_and_operator() -> None:
    outcome = in_process("schema")
    schema = json.loads(outcome.out)
    assert set(schema["required"]) == {"name", "data", "etl", "train"}
    for word in ("dlrm", "wide_deep", "two_tower", "categorify", "user_time", "dask-cuda"):
        assert f'"{word}"' in outcome.out


def test_every_config_is_valid_and_survives_a_dump() -> None:
    from core.config import dump, load, load_text
    from pipeline.spec import RunSpec

    files = sorted((ROOT / "configs").glob("*.yaml"))
    assert len(files) >= 4
    for file in files:
        spec = load(RunSpec, file)
        assert load_text(RunSpec, dump(spec), "dumped.yaml") == spec
        assert spec.name == file.stem


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("fly",), 2),
        (("run",), 2),
        (("run", "none.yaml"), 2),
        (("data", "fetch", "ml-100"), 2),
        (("data", "generate", "."), 2),
        (("recommend", "none"), 2),
    ],
)
def test_exit_codes(words: tuple[str, ...], code: int) -> None:
    assert in_process(*words).code == code


def broken(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `gyrfalcon schema` fail."""

    def fail() -> None:
        raise error

    monkeypatch.setattr("pipeline.commands.schema.schema", fail)


def test_our_fault_is_one_message_and_the_way_to_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GYRFALCON_DEBUG", raising=False)
    broken(monkeypatch, ValueError("oh"))
    outcome = in_process("schema")
    assert outcome.code == 1
    assert "internal error: ValueError: oh" in outcome.err
    assert "gyrfalcon --debug" in outcome.err
    assert "Traceback" not in outcome.err


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYRFALCON_DEBUG", "1")
    broken(monkeypatch, ValueError("oh"))
    assert "Traceback" in in_process("schema").err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("this is wrong", where="here", cure="mend it"), 2, "error: here: this is wrong; mend it"),
        (OSError(28, "No space left on device"), 2, "the disk is full"),
        (MemoryError(), 2, "not enough memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_is_not_our_fault(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str) -> None:
    broken(monkeypatch, error)
    outcome = in_process("schema")
    assert outcome.code == code
    assert words in outcome.err


def test_generate_writes_rows_and_tells_the_best_auc(tmp_path: Path) -> None:
    outcome = in_process("data", "generate", tmp_path / "clicks", "--rows", "1000")
    assert outcome.code == 0, outcome.err
    assert "1,000 rows" in outcome.out
    assert "AUC" in outcome.out


def test_the_etl_command_runs_without_torch(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = None  # whoever imports it fails
from pipeline.cli import app
app(["etl", {str(ROOT / "configs" / "smoke.yaml")!r}, "--runs-dir", {str(tmp_path)!r}, "--engine", "cpu"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "smoke" / "etl" / "manifest.json").exists()
    again = gyrfalcon("etl", ROOT / "configs" / "smoke.yaml", "--runs-dir", tmp_path, "--dry-run")
    assert "unchanged" in again.out


def test_engine_is_short_for_a_setting(tmp_path: Path) -> None:
    words = ("etl", ROOT / "configs" / "smoke.yaml", "--runs-dir", tmp_path)
    outcome = in_process(*words, "--engine", "gpu", "--set", "etl.engine=cpu")
    assert outcome.code == 2
    assert "--engine" not in outcome.err
    assert "etl.engine" in outcome.err
    assert "cudf" in outcome.err


def test_features_of_a_command_line_have_the_types_of_the_bundle() -> None:
    from pipeline.commands.bundle import _parsed
    from serve.signature import Input

    inputs = {
        "age": Input("age", "int64", "int64", "user"),
        "city": Input("city", "string", "string", "user"),
        "history": Input("history", "int64", "int64", "user", is_list=True),
    }
    given = ["age=30", "city=", "history=50,181", "other=x"]
    assert _parsed(given, inputs) == {"age": 30, "city": None, "history": [50, 181], "other": "x"}
    with pytest.raises(UserError, match="history: the value must be a whole number, got 'x'"):
        _parsed(["history=50,x"], inputs)
