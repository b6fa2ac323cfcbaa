"""The row of a table that has a key of one or several columns, by hash tables built once (`etl.values.probing`)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from etl.values.probing import Positions

Codes: TypeAlias = NDArray[np.int64]
_UNKNOWN = -1


class RowNumbers:
    """A function of keys: the number of the table's row that has each, or the number of its rows; Int32.

    Takes a series of keys, or of structs of them. Several columns become one number by and by: the number of a value
    among the distinct ones of its column, put together with that of the columns before. Null is a value.

    Args:
        table: Its first columns are the keys, each combination once; nulls come first.

    Example:
        >>> table = pl.DataFrame({"key@0": [1, 1, 2], "key@1": [None, "a", "a"], "value": [7, 8, 9]})
        >>> keys = pl.DataFrame({"a": [1, 2, 2, 1], "b": ["a", "a", None, None]}).to_struct()
        >>> RowNumbers(table)(keys).to_list()
        [1, 2, 3, 0]
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self._table = table
        self._find: Callable[[list[pl.Series]], Codes] | None = None
        self._lock = threading.Lock()

    def __call__(self, keys: pl.Series) -> pl.Series:
        """Look up keys of the types of the table."""
        fields = keys.struct.unnest().get_columns() if isinstance(keys.dtype, pl.Struct) else [keys]
        with self._lock:
            if self._find is None:
                self._find = _chained([self._table.to_series(index) for index in range(len(fields))])
        found = self._find(fields)
        return pl.Series(keys.name, np.where(found == _UNKNOWN, self._table.height, found).astype(np.int32))


def _chained(columns: list[pl.Series]) -> Callable[[list[pl.Series]], Codes]:
    """Codes of combinations of values: the number of the row, where each combination stands in one."""
    find, codes = _first(columns[0], distinct=len(columns) == 1)
    for number, column in enumerate(columns[1:], start=1):
        find, codes = _joined(find, codes, column, number, last=number == len(columns) - 1)
    return find


def _first(column: pl.Series, *, distinct: bool) -> tuple[Callable[[list[pl.Series]], Codes], Codes]:
    values = column if distinct else column.unique().sort()
    look = _looked(values)
    return lambda keys: look(keys[0]), look(column)


def _joined(
    find: Callable[[list[pl.Series]], Codes], codes: Codes, column: pl.Series, number: int, *, last: bool
) -> tuple[Callable[[list[pl.Series]], Codes], Codes]:
    values = column.unique().sort()
    look, count = _looked(values), len(values)
    pairs = codes * count + look(column)
    distinct = pl.Series(pairs if last else np.unique(pairs))
    position = Positions(distinct)

    def both(keys: list[pl.Series]) -> Codes:
        left, right = find(keys), look(keys[number])
        pair = np.where((left == _UNKNOWN) | (right == _UNKNOWN), _UNKNOWN, left * count + right)
        return position(pl.Series(pair)).to_numpy().astype(np.int64)

    return both, position(pl.Series(pairs)).to_numpy().astype(np.int64)


def _looked(values: pl.Series) -> Callable[[pl.Series], Codes]:
    """The place of a key among distinct values, of which null, if it is there, is the first."""
    nulls = values.null_count()
    position = Positions(values.drop_nulls(), first=nulls)

    def look(keys: pl.Series) -> Codes:
        found = position(keys).to_numpy().astype(np.int64)
        if nulls and keys.null_count():
            found[keys.is_null().to_numpy()] = 0
        return found

    return look
