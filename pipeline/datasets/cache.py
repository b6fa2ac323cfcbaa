"""The cache of named data sets: each entry appears whole, is checked by hash, and is made by one process at a time."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from core import log
from core.errors import UserError
from core.files import TEMPORARY, hash_tree, new_directory, read_json, recover_directory, write_json

MANIFEST = "manifest.json"
_log = log.get("datasets")


def cache_directory() -> Path:
    """Where named data sets are kept.

    `$GYRFALCON_CACHE`, else `$XDG_CACHE_HOME/gyrfalcon`, else `~/.cache/gyrfalcon`.
    """
    own = os.environ.get("GYRFALCON_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache").absolute() / "gyrfalcon"


def ensure(entry: Path, origin: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """Give a cache entry: the one that is there when its hashes agree, else a new one.

    Args:
        entry: The directory of the entry.
        origin: What the entry is made from (hashes, parameters), kept in its manifest.
        make: Fills an empty directory.

    Raises:
        UserError: Making it failed, or the cache can't be written.
    """
    if _sound(entry, origin):
        return entry
    with _lock(entry):
        _clear(entry)
        if _sound(entry, origin):  # another process made it while this one waited
            return entry
        if entry.exists():
            _log.warning("%s is damaged; making it again", entry)
        with new_directory(entry) as folder:
            make(folder)
            write_json(folder / MANIFEST, {"origin": dict(origin), "files": hash_tree(folder)})
    return entry


def _sound(entry: Path, origin: Mapping[str, Any]) -> bool:
    """Whether the entry holds exactly what its manifest says."""
    try:
        manifest = read_json(entry / MANIFEST)
        found = hash_tree(entry)
        found.pop(MANIFEST, None)
        return bool(manifest["origin"] == dict(origin) and manifest["files"] == found)
    except (UserError, KeyError, TypeError, OSError):
        return False


def _clear(entry: Path) -> None:
    """Mend what a killed process left of this entry; only called while the lock is held."""
    recover_directory(entry)
    for left in entry.parent.glob(f"{TEMPORARY}*-{entry.name}"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _lock(entry: Path) -> Iterator[None]:
    """Hold the entry's lock; the kernel lets go of it when the process dies, however it dies."""
    import fcntl

    file = entry.parent / f"{entry.name}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = file.open("w")
    except OSError as error:
        raise UserError(
            f"the cache can't be written ({error.strerror})",
            where=str(file.parent),
            cure="set GYRFALCON_CACHE to a directory that can be written",
        ) from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
