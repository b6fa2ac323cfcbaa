"""One process at a time in a run directory."""

from __future__ import annotations

import contextlib
import errno
import fcntl
from collections.abc import Iterator
from pathlib import Path

from core.errors import UserError

NAME = ".lock"


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a run directory; the kernel frees it when the process dies, however it dies.

    Raises:
        UserError: Another process holds it, or the directory can't be written.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        handle = (run_dir / NAME).open("a")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"the run directory can't be written ({error.strerror})",
            where=str(run_dir),
            cure="choose another one with --runs-dir",
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                "another process is working on this run",
                where=str(run_dir),
                cure="wait for it, or give this run another name with --set name=...",
            ) from None
        yield
