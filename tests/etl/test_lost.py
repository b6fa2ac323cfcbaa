"""A full disk, an interrupt, a kill: one clear error, and what was there before stays byte for byte."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.errors import UserError
from core.files import RETIRED
from etl import Fitted, Workflow
from etl.ops import Categorify
from tests.e2e.run import ROOT, contents, in_process

from .conftest import Desk, kept, write_config

FULL = """\
import resource, signal, sys
from pathlib import Path
import polars as pl
from core.errors import UserError
from etl import Fitted

fitted, out = Fitted.load(Path(sys.argv[1])), Path(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    fitted.save(out)
except UserError as error:
    sys.exit(str(error))
"""


def fit(rows: int) -> Fitted:
    return Workflow(["id"] >> Categorify()).fit(
        pl.DataFrame({"id": [f"{n * 2654435761 % 2**32:x}" for n in range(rows)]})
    )


def test_a_full_disk_keeps_the_workflow_that_was_there(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: the system refuses a write half-way."""
    fit(3).save(tmp_path / "place" / "workflow")
    fit(20_000).save(tmp_path / "large")
    before = contents(tmp_path / "place")
    words = [sys.executable, "-W", "error", "-c", FULL, str(tmp_path / "large"), str(tmp_path / "place" / "workflow")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"{tmp_path / 'place' / 'workflow'}: a file grew past what is allowed here; "
        "raise the limit (ulimit -f) and run again"
    )
    assert contents(tmp_path / "place") == before


@pytest.mark.parametrize("call", ["etl.saving.write_json", "etl.saving.write_table"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_save_leaves_the_old_one(
    call: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(3).save(tmp_path / "workflow")
    before, larger = contents(tmp_path), fit(9)
    monkeypatch.setattr(call, raising(error))
    with pytest.raises((KeyboardInterrupt, UserError)):
        larger.save(tmp_path / "workflow")
    monkeypatch.undo()
    assert contents(tmp_path) == before
    larger.save(tmp_path / "workflow")
    assert Fitted.load(tmp_path / "workflow").schema["id"].cardinality == 12


def raising(error: BaseException) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    return refuse


def test_a_save_killed_between_its_two_renames(tmp_path: Path) -> None:
    fit(3).save(tmp_path / "workflow")
    (tmp_path / "workflow").rename(tmp_path / f"{RETIRED}workflow")
    assert Fitted.load(tmp_path / "workflow").schema["id"].cardinality == 6
    fit(9).save(tmp_path / "workflow")
    assert Fitted.load(tmp_path / "workflow").schema["id"].cardinality == 12
    assert [path.name for path in tmp_path.iterdir()] == ["workflow"]


PLACES = [
    "etl.dataset.describe.write_table",
    "etl.dataset.describe.hash_tree",
    "etl.dataset.prepare.write_catalogue",
    "etl.fitted.Fitted.save",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["stop", "full"])
def test_an_etl_that_ends_half_way_keeps_the_data_set_before(
    place: str, error: BaseException, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, runs = desk.path / "config.yaml", desk.path / "runs"
    desk.sources["items"]["title"] = desk.sources.pop("title")
    write_config(desk, config)
    assert in_process("etl", config, "--runs-dir", runs).code == 0
    before = kept(runs)
    desk.spec["target"]["at_least"] = 3
    write_config(desk, config)
    monkeypatch.setattr(place, raising(error))
    outcome = in_process("etl", config, "--runs-dir", runs)
    assert "Traceback" not in outcome.err
    if isinstance(error, KeyboardInterrupt):
        assert outcome.code == 130
        assert "interrupted in stage etl" in outcome.err
    else:
        assert outcome.code == 2
        assert len(outcome.errors) == 1
        assert "the disk is full" in outcome.errors[0]
    assert kept(runs) == before
    monkeypatch.undo()
    assert in_process("etl", config, "--runs-dir", runs).code == 0
    assert kept(runs) != before


def edited(saved: Path) -> None:
    table = next((saved / "tables").glob("*.parquet"))
    pl.read_parquet(table).head(1).write_parquet(table)


def newer(saved: Path) -> None:
    file = saved / "workflow.json"
    file.write_text(re.sub(r'"version": \d+', '"version": 99', file.read_text()))


def outside(saved: Path) -> None:
    file = saved / "workflow.json"
    file.write_text(re.sub(r'"file": "tables/', '"file": "../../tables/', file.read_text(), count=1))


def gone(saved: Path) -> None:
    (saved / "workflow.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (edited, "the file is not the one that was saved with the workflow"),
        (newer, "update gyrfalcon"),
        (outside, "leaves its directory"),
        (gone, "fitted workflow to start from"),
    ],
)
def test_a_spoiled_workflow_to_go_on_from(spoil: Callable[[Path], None], told: str, flat: Desk) -> None:
    config, runs = flat.path / "config.yaml", flat.path / "runs"
    write_config(flat, config)
    assert in_process("etl", config, "--runs-dir", runs).code == 0
    saved = flat.path / "kept" / "workflow"
    shutil.copytree(runs / "flat" / "etl" / "workflow", saved)
    spoil(saved)
    before = kept(runs)
    flat.spec["start_from"] = str(saved)
    write_config(flat, config)
    outcome = in_process("etl", config, "--runs-dir", runs)
    assert outcome.code == 2, outcome.err
    assert len(outcome.errors) == 1
    assert told in outcome.errors[0]
    assert kept(runs) == before
