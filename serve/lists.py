"""List columns of a request: in the program one array a row, for the model their elements and where rows begin.

Merlin's convention: the tensor `NAME__values` holds the elements of all rows one after the other, and row i has the
elements `NAME__offsets`[i] up to, not including, `NAME__offsets`[i + 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError

Array = NDArray[Any]


def rows_of(lists: Sequence[Array]) -> Array:
    """A column of lists: an array of arrays.

    Example:
        >>> rows_of([np.array([1, 2]), np.array([3, 4])]).shape
        (2,)
    """
    column = np.empty(len(lists), dtype=object)
    for row, one in enumerate(lists):
        column[row] = one
    return column


def joined(column: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Elements and offsets of a column of lists.

    Example:
        >>> values, offsets = joined(rows_of([np.array([1, 2]), np.array([3])]), np.dtype("int64"))
        >>> values.tolist(), offsets.tolist()
        ([1, 2, 3], [0, 2, 3])
    """
    offsets = np.zeros(len(column) + 1, np.int64)
    np.cumsum([len(one) for one in column], out=offsets[1:])
    return np.concatenate([np.empty(0, dtype), *column]).astype(dtype, copy=False), offsets


def split(values: Array, offsets: Array, name: str) -> Array:
    """The column that these elements and offsets make.

    Raises:
        UserError: The offsets don't fit the elements.

    Example:
        >>> [one.tolist() for one in split(np.array([1, 2, 3]), np.array([0, 2, 2, 3]), "x")]
        [[1, 2], [], [3]]
    """
    whole = len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == len(values)
    if not whole or (np.diff(offsets) < 0).any():
        told = f"offsets must rise from 0 to the number of values ({len(values)}), one more than there are rows"
        raise UserError(told, where=name)
    return rows_of(np.split(values, offsets[1:-1]))
