"""Files that appear whole or not at all, and hashes of what they hold.

Everything is first written to a temporary sibling whose name starts with `TEMPORARY` and is then renamed:
a killed process leaves either the old content or the new one, and at most a temporary that
`remove_temporaries` clears.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import UserError

TEMPORARY = ".tmp-"
RETIRED = ".old-"
EVENTS = "events.out.tfevents."
"""What names of TensorBoard's event files begin with. They hold times, for people to watch a training; no result
depends on them, so no hash of a directory counts them."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: after a crash it holds the old bytes or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=f"-{path.name}", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except OSError as error:
        raise _disk_error(error, path) from error
    finally:
        Path(name).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, in one canonical form: sorted keys, two spaces, a final newline."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("there is no such file", where=str(path)) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"this is not valid JSON ({error})", where=str(path)) from None


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Give a temporary directory that becomes `path` when the block ends well, replacing what was there.

    When the block raises, the temporary is removed and `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, suffix=f"-{path.name}", dir=path.parent))
    temporary.chmod(0o777 & ~_umask())
    try:
        yield temporary
        replace_directory(temporary, path)
    except OSError as error:
        raise _disk_error(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_directory(new: Path, path: Path) -> None:
    """Rename the directory `new` to `path`; what was at `path` is retired first and removed last."""
    retired = path.parent / f"{RETIRED}{path.name}"
    if path.exists():
        shutil.rmtree(retired, ignore_errors=True)
        path.replace(retired)
    new.replace(path)
    shutil.rmtree(retired, ignore_errors=True)


def recover_directory(path: Path) -> None:
    """Undo a replacement that was killed between its two renames: bring the retired directory back."""
    retired = path.parent / f"{RETIRED}{path.name}"
    if not retired.exists():
        return
    if path.exists():
        shutil.rmtree(retired, ignore_errors=True)
    else:
        retired.replace(path)


def remove_temporaries(directory: Path) -> None:
    """Remove what killed writers left anywhere under `directory`."""
    for root, folders, files in os.walk(directory):
        for name in [name for name in folders if name.startswith(TEMPORARY)]:
            folders.remove(name)
            shutil.rmtree(Path(root, name), ignore_errors=True)
        for name in files:
            if name.startswith(TEMPORARY):
                Path(root, name).unlink(missing_ok=True)


def hash_bytes(data: bytes) -> str:
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def hash_json(value: Any) -> str:
    """SHA-256 of a JSON value's canonical form."""
    return hash_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_tree(directory: Path) -> dict[str, str]:
    """SHA-256 of each file under a directory but `EVENTS`, by its relative path, in order of path."""
    return {path.relative_to(directory).as_posix(): hash_file(path) for path in files_below(directory)}


def files_below(directory: Path) -> list[Path]:
    """The files under a directory that a hash of it counts: all but `EVENTS`, in order of path."""
    return sorted(path for path in directory.rglob("*") if path.is_file() and not path.name.startswith(EVENTS))


def inside(base: Path, name: str) -> Path:
    """Resolve a path that came out of a file and must stay inside `base`.

    Raises:
        UserError: The name is absolute or leaves `base`.
    """
    target = (base / name).resolve()
    if not target.is_relative_to(base.resolve()):
        raise UserError(f"the path {name!r} leaves its directory", where=str(base))
    return target


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _disk_error(error: OSError, path: Path) -> Exception:
    """Turn what the disk refuses into the user's words; leave every other OSError as it is."""
    cures = {
        errno.ENOSPC: "the disk is full; free some space and run again",
        errno.EDQUOT: "the disk quota is used up; free some space and run again",
        errno.EFBIG: "a file grew past what is allowed here; raise the limit (ulimit -f) and run again",
        errno.EACCES: "no permission to write here; choose another directory",
        errno.EROFS: "the file system is read-only; choose another directory",
    }
    if error.errno in cures:
        return UserError(cures[error.errno], where=str(path))
    return error
