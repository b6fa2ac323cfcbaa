"""How operators declare and demand columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from core.errors import UserError
from core.schema import Column, DType, Tag
from etl.types import FLOATS

IDS = frozenset({Tag.USER_ID, Tag.ITEM_ID, Tag.SESSION_ID, Tag.ID})
SIGNED = frozenset({DType.INT8, DType.INT16, DType.INT32, DType.INT64})
"""Whole numbers as operators see them: unsigned columns and booleans of the data reach them as int64."""


def continuous(column: Column, *, nullable: bool | None = None, dtype: DType = DType.FLOAT64) -> Column:
    """A column of numbers made of this one; it keeps the side (user, item) but is no id any more."""
    tags = column.tags - IDS - {Tag.CATEGORICAL} | {Tag.CONTINUOUS}
    known = column.nullable if nullable is None else nullable
    return replace(column, dtype=dtype, tags=tags, nullable=known, cardinality=None, embedding_dim=None)


def categorical(column: Column, cardinality: int | None) -> Column:
    """A column of ids 0 .. cardinality-1 made of this one."""
    tags = column.tags - {Tag.CONTINUOUS} | {Tag.CATEGORICAL}
    width = None if cardinality is None else embedding_width(cardinality)
    return replace(column, dtype=DType.INT32, tags=tags, nullable=False, cardinality=cardinality, embedding_dim=width)


def embedding_width(cardinality: int) -> int:
    """NVTabular's rule of thumb: min(max(16, round(1.6 n^0.56)), 512).

    Example:
        >>> embedding_width(3), embedding_width(1_000), embedding_width(100_000_000)
        (16, 77, 512)
    """
    return min(max(16, round(1.6 * math.pow(cardinality, 0.56))), 512)


def require_numbers(columns: Sequence[Column], kind: str) -> None:
    """Demand numbers.

    Raises:
        UserError: A column holds strings; names it.
    """
    for column in columns:
        if column.dtype not in SIGNED | FLOATS:
            raise UserError(
                f"{kind} takes numbers, got {column.dtype.value}",
                where=f"column {column.name}",
                cure="use categorify or hash_bucket for strings",
            )


def require_keys(columns: Sequence[Column], kind: str) -> None:
    """Demand integers or strings.

    Raises:
        UserError: A column holds floats; names it.
    """
    for column in columns:
        if column.dtype not in SIGNED | {DType.STRING}:
            raise UserError(
                f"{kind} takes integers or strings, got {column.dtype.value}",
                where=f"column {column.name}",
                cure="use bucketize for real numbers",
            )


def require_lists(columns: Sequence[Column], kind: str) -> None:
    """Demand lists.

    Raises:
        UserError: A column holds single values; names it.
    """
    for column in columns:
        if not column.is_list:
            raise UserError(
                f"{kind} takes lists, and the column holds single values",
                where=f"column {column.name}",
                cure="leave it out, or make lists of texts with split_text",
            )


def not_to_be_continued(name: str) -> UserError:
    """What a column was fitted to does not tell what an update needs."""
    return UserError(
        "this was taken over from NVTabular, which doesn't tell what an update needs",
        where=f"column {name}",
        cure="fit all rows with another engine",
    )
