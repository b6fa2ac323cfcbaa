"""Failures of Polars and of the disk, in the user's words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import polars.exceptions as pe

from core.errors import UserError

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_TOO_LARGE = re.compile(r"conversion from `u64` to `i64` failed in column '(.*?)' .*?\[(\d+)")
_OF_SOURCE = re.compile(r"caught exception during execution of a Python source, exception: (\w+Error: )?")
"""What Polars puts before an error of a part of a plan that is read as it is worked on (`etl.engines.paced`)."""
_LONGEST = 300


@contextmanager
def translated(engine: str, *, cure: str | None = None) -> Iterator[None]:
    """Run a plan: what Polars refuses becomes a `UserError` that names the engine.

    Args:
        engine: Name of the engine that runs the plan.
        cure: What helps when this engine can't run the plan at all.

    Example:
        >>> with translated("cpu"):
        ...     raise pe.ComputeError("cannot parse 'x'")
        Traceback (most recent call last):
        core.errors.UserError: engine cpu: cannot parse 'x'
    """
    try:
        yield
    except FileNotFoundError as error:
        raise _gone(error, engine) from None
    except OSError as error:
        raise system_error(error) or error from error
    except pe.PolarsError as error:
        refused = system_error(error)
        if isinstance(refused, FileNotFoundError):
            raise _gone(error, engine) from None
        if refused is not None:
            raise refused from error
        raise _too_large(error) or UserError(brief(error), where=f"engine {engine}", cure=cure) from error
    except pe.PanicException as error:
        raise UserError(f"the plan broke down ({brief(error)})", where=f"engine {engine}", cure=cure) from error


def _gone(error: Exception, engine: str) -> UserError:
    return UserError(f"a file went away while it was read ({brief(error)})", where=f"engine {engine}")


def _too_large(error: pe.PolarsError) -> UserError | None:
    """What to tell of unsigned integers that an int64 doesn't hold."""
    found = _TOO_LARGE.search(str(error))
    if found is None:
        return None
    name, value = found.groups()
    return UserError(
        f"the column {name} holds {value}, beyond the largest int64 (2^63 - 1)",
        where=f"column {name}",
        cure="store ids as strings, and numbers as floats",
    )


def brief(error: BaseException) -> str:
    r"""The first lines of a message, on one line.

    Example:
        >>> brief(ValueError("one\n\ntwo"))
        'one; two'
    """
    text = _OF_SOURCE.sub("", str(error).split("Resolved plan until failure")[0])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines)[:_LONGEST].rstrip(".;")


def system_error(error: BaseException) -> OSError | None:
    """What the system refused, as an error with its number, which Polars tells in the text alone.

    `core.files` turns a full disk and its like into the user's words by that number.

    Example:
        >>> system_error(pe.ComputeError("IO error: No space left on device (os error 28)")).errno
        28
        >>> system_error(pe.ComputeError("no such column")) is None
        True
    """
    found = _OS_ERROR.search(str(error))
    if found is None or (isinstance(error, OSError) and error.errno is not None):
        return None
    number = int(found.group(1))
    return OSError(number, os.strerror(number))
