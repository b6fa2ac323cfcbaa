"""Cache entries appear whole, are checked by hash, and are made once however many ask."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from pipeline.datasets.cache import cache_directory, ensure


def _fill(folder: Path) -> None:
    (folder / "rows.txt").write_text("one\n")


def _never(folder: Path) -> None:
    raise AssertionError(f"{folder} should not be made again")


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("GYRFALCON_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
    monkeypatch.delenv("GYRFALCON_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert cache_directory() == tmp_path / "shared" / "gyrfalcon"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory() == tmp_path / "home" / ".cache" / "gyrfalcon"


def test_a_sound_entry_is_used_again(tmp_path):
    entry = ensure(tmp_path / "entry", {"seed": 1}, _fill)
    assert ensure(tmp_path / "entry", {"seed": 1}, _never) == entry


@pytest.mark.parametrize("damage", ["changed", "removed", "added", "manifest"])
def test_a_damaged_entry_is_made_again(tmp_path, damage, caplog):
    entry = ensure(tmp_path / "entry", {"seed": 1}, _fill)
    match damage:
        case "changed":
            (entry / "rows.txt").write_text("two\n")
        case "removed":
            (entry / "rows.txt").unlink()
        case "added":
            (entry / "more.txt").write_text("more")
        case "manifest":
            (entry / "manifest.json").write_text("{")
    ensure(entry, {"seed": 1}, _fill)
    assert "damaged" in caplog.text
    assert (entry / "rows.txt").read_text() == "one\n"
    assert sorted(path.name for path in entry.iterdir()) == ["manifest.json", "rows.txt"]
    ensure(entry, {"seed": 1}, _never)


def test_an_entry_of_another_origin_is_not_believed(tmp_path):
    ensure(tmp_path / "entry", {"seed": 1}, _fill)
    with pytest.raises(AssertionError, match="made again"):
        ensure(tmp_path / "entry", {"seed": 2}, _never)


def test_a_failure_leaves_nothing_and_the_old_entry_stays(tmp_path):
    def fail(folder: Path) -> None:
        _fill(folder)
        raise UserError("no network")

    with pytest.raises(UserError, match="no network"):
        ensure(tmp_path / "entry", {}, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["entry.lock"]


def test_what_a_killed_process_left_is_cleared(tmp_path):
    left = tmp_path / ".tmp-abc-entry"
    left.mkdir()
    (left / "half.parquet").write_bytes(b"PAR")
    ensure(tmp_path / "entry", {}, _fill)
    assert not left.exists()


def test_a_replacement_killed_between_its_renames_is_undone(tmp_path):
    entry = ensure(tmp_path / "entry", {"seed": 1}, _fill)
    entry.replace(tmp_path / ".old-entry")
    ensure(tmp_path / "entry", {"seed": 1}, _never)


ASK = """
import sys, time
from pathlib import Path
from pipeline.datasets.cache import ensure

def make(folder):
    with Path(sys.argv[2]).open("a") as log:
        log.write("made\\n")
    time.sleep(0.3)
    (folder / "rows.txt").write_text("one\\n")

ensure(Path(sys.argv[1]), {}, make)
"""


def test_processes_that_ask_at_once_make_one_entry(tmp_path):
    command = [sys.executable, "-c", ASK, str(tmp_path / "c" / "entry"), str(tmp_path / "log")]
    root = Path(__file__).parents[2]
    asks = [subprocess.Popen(command, cwd=root) for _ in range(3)]
    assert [ask.wait(30) for ask in asks] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "made\n"
    assert (tmp_path / "c" / "entry" / "rows.txt").read_text() == "one\n"


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="GYRFALCON_CACHE"):
        ensure(tmp_path / "file" / "entry", {}, _fill)
