"""Large tables in files that are mapped: the system may take their memory back when it needs it."""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import polars.exceptions as pe
from numpy.typing import NDArray

from core.files import TEMPORARY

_Kind = TypeVar("_Kind", bound=np.generic)
LARGE = 1 << 20
"""Bytes of a table from here on; smaller ones stay where they are."""


def kept(table: pl.DataFrame) -> pl.DataFrame:
    """The same table, out of the way; it lasts as long as somebody holds it, and leaves nothing behind.

    Where no file can be written, it stays in memory.

    Example:
        >>> kept(pl.DataFrame({"value": [7, 5], "count": [2, 1]})).rows()
        [(7, 2), (5, 1)]
    """
    if table.estimated_size() < LARGE:
        return table
    with suppress(OSError, pe.PolarsError), tempfile.TemporaryDirectory(prefix=TEMPORARY) as place:
        # The system keeps a file without a name as long as it is mapped.
        path = Path(place) / "table.arrow"
        table.write_ipc(path, compression="uncompressed")
        return pl.read_ipc(path, memory_map=True)
    return table


def filled(count: int, word: int, dtype: type[_Kind]) -> NDArray[_Kind]:
    """An array of one word again and again, in a file when it is large.

    Example:
        >>> filled(3, 7, np.uint64).tolist()
        [7, 7, 7]
    """
    words = _room(np.dtype(dtype).itemsize * count).view(dtype)
    words[:] = word
    return words


def moved(values: NDArray[_Kind]) -> NDArray[_Kind]:
    """The same array, in a file when it is large.

    Example:
        >>> moved(np.array([3, 4])).tolist()
        [3, 4]
    """
    if values.nbytes < LARGE:
        return values
    place = _room(values.nbytes).view(values.dtype)
    place[:] = values
    return place


def _room(size: int) -> NDArray[np.uint8]:
    if size < LARGE:
        return np.empty(size, np.uint8)
    # Not every system has `posix_fallocate`.
    with suppress(AttributeError, OSError), tempfile.TemporaryFile(prefix=TEMPORARY) as file:
        # Without its blocks a file on a full disk would fail at the first touch, which nothing can catch.
        os.posix_fallocate(file.fileno(), 0, size)
        return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)
    return np.empty(size, np.uint8)


def give_back() -> None:
    """Let the C library give memory back that is free: what NumPy's large arrays leave behind, hundreds of MiB."""
    # Only glibc has it, and only there it is needed.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
