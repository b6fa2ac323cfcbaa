"""What the machine refuses, in the user's words."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path

from core.errors import UserError

_DISK = {
    errno.ENOSPC: ("the disk is full", "free some space and run again; finished stages are kept"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run again; finished stages are kept"),
    errno.EFBIG: ("a file grew past what is allowed here", "raise the limit (ulimit -f) and run again"),
    errno.EROFS: ("the file system is read-only", "choose another directory with --runs-dir"),
    errno.EACCES: ("no permission to read or write here", "change the permissions or choose another directory"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n) and run again"),
}
_IN_TEXT = re.compile(r"os error (\d+)|errno (\d+)", re.IGNORECASE)
_MEMORY_WORDS = ("can't allocate memory", "cannot allocate memory", "out of memory", "std::bad_alloc")


def as_user_error(error: BaseException, place: Path | str) -> UserError | None:
    """Give an error that the user can mend, where this is one; None for our own bugs.

    Libraries wrap what the system said, some in text alone, so the causes and the text are searched too.

    Args:
        error: What was raised.
        place: Where it happened, when the error itself does not say.

    Example:
        >>> print(as_user_error(OSError(28, "No space left on device"), "runs/x"))
        runs/x: the disk is full; free some space and run again; finished stages are kept
    """
    for one in _chain(error):
        if isinstance(one, UserError):
            return one
        number = _number(one)
        if number in _DISK:
            what, cure = _DISK[number]
            where = one.filename if isinstance(one, OSError) and one.filename else place
            return UserError(what, where=str(where), cure=cure)
        if _is_memory(one):
            return UserError(
                "there is not enough memory",
                where=str(place),
                cure="use smaller batches (train.*.batch_size), fewer rows, or a machine with more memory",
            )
    return None


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of the device.

    Example:
        >>> out_of_memory(MemoryError()), out_of_memory(ValueError("x"))
        (True, False)
    """
    return any(_is_memory(one) for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    if "No space left on device" in text:
        return errno.ENOSPC
    found = _IN_TEXT.search(text) if isinstance(error, OSError | RuntimeError) or "os error" in text else None
    return int(found.group(1) or found.group(2)) if found else None


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _MEMORY_WORDS)
