"""Hashes of files are remembered only as long as that is safe."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from core.errors import UserError
from core.files import hash_bytes
from pipeline import hashes
from pipeline.hashes import HashCache
from pipeline.plan import code_hash


def settled(path: Path, text: str) -> Path:
    """A file that was written long ago."""
    path.write_text(text)
    old = time.time() - 100
    os.utime(path, (old, old))
    return path


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = settled(tmp_path / "a", "one")
    first = HashCache(tmp_path / "cache.json")
    assert first.of(file) == hash_bytes(b"one")
    first.save()
    monkeypatch.setattr(hashes, "hash_file", lambda path: pytest.fail("read again"))
    assert HashCache(tmp_path / "cache.json").of(file) == hash_bytes(b"one")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = settled(tmp_path / "a", "one")
    cache = HashCache(tmp_path / "cache.json")
    cache.of(file)
    cache.save()
    file.write_text("two")
    assert HashCache(tmp_path / "cache.json").of(file) == hash_bytes(b"two")


def test_a_fresh_file_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    stat = file.stat()
    cache = HashCache(tmp_path / "cache.json")
    cache.of(file)
    cache.save()
    with file.open("r+") as handle:  # same size, same inode, and the same tick of the clock
        handle.write("two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert HashCache(tmp_path / "cache.json").of(file) == hash_bytes(b"two")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 3}'])
def test_a_broken_cache_is_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "cache.json").write_text(text)
    file = settled(tmp_path / "a", "one")
    assert HashCache(tmp_path / "cache.json").of(file) == hash_bytes(b"one")


def test_a_missing_file_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        HashCache(tmp_path / "cache.json").of(tmp_path / "none")


def test_a_changed_template_changes_the_hash_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shown"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "page.j2").write_text("one")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_hash.__wrapped__(("shown",))
    (package / "page.j2").write_text("two")
    assert code_hash.__wrapped__(("shown",)) != before
