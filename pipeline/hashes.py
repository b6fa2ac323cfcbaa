"""Content hashes of files, remembered so that an unchanged file is read once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

from core.errors import UserError
from core.files import files_below, hash_file, hash_json, read_json, write_json

SETTLED_SECONDS = 2.0
"""A file that was changed later than this before its hash was taken may change again within one tick of the
file system's clock, unseen; its hash is not remembered."""


class HashCache:
    """Full SHA-256 of files, remembered by path, size, inode and time of change.

    Args:
        file: Where hashes are kept between runs.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, list[int | str]] = {}
        self._used: dict[str, list[int | str]] = {}
        with contextlib.suppress(UserError):  # a cache that can't be read is an empty one
            read = read_json(file)
            self._known = read if isinstance(read, dict) else {}

    def of(self, path: Path) -> str:
        """The hash of one file.

        Raises:
            UserError: There is no such file.
        """
        try:
            stat = path.stat()
            sign = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
            known = self._known.get(str(path))
            if known is not None and known[:3] == sign:
                self._used[str(path)] = known
                return str(known[3])
            now, digest = time.time(), hash_file(path)
        except FileNotFoundError:
            raise UserError("there is no such file", where=str(path)) from None
        except OSError as error:
            raise UserError(f"this file can't be read ({error.strerror})", where=str(path)) from None
        if now - stat.st_mtime > SETTLED_SECONDS:
            self._used[str(path)] = [*sign, digest]
        return digest

    def tree(self, path: Path, *, ignore: Iterable[str] = ()) -> dict[str, str]:
        """Hashes of the files under a directory but `EVENTS`, by relative path; of a file, its own under its name."""
        if path.is_file():
            return {path.name: self.of(path)}
        skipped = set(ignore)
        named = ((file.relative_to(path).as_posix(), file) for file in files_below(path))
        return {name: self.of(file) for name, file in named if name not in skipped}

    def save(self) -> None:
        """Remember what was used."""
        if self._used != self._known:
            write_json(self._file, self._used)


def digest(hashes: dict[str, str]) -> str:
    """One hash of many."""
    return hash_json(hashes)
