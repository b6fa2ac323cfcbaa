"""Checks of raw data that name what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from core.dataset import ITEM_INDEX, ROW, SPLIT, TARGET, TIME, USER_INDEX, is_target
from core.errors import UserError
from core.suggest import did_you_mean

RESERVED = frozenset({ROW, SPLIT, TARGET, TIME, USER_INDEX, ITEM_INDEX})
"""Names that a data set keeps for itself."""
INT_MAX = 2**63 - 1


def require_columns(wanted: Mapping[str, str], known: Sequence[str], where: str) -> None:
    """Check that columns are there.

    Args:
        wanted: Column -> who asks for it.
        known: The columns that are there.
        where: The table.

    Raises:
        UserError: The first that is missing.

    Example:
        >>> require_columns({"agee": "a feature"}, ["age"], "users.csv")
        Traceback (most recent call last):
        core.errors.UserError: users.csv: there is no column agee (a feature); did you mean age? (one of: age)
    """
    for name, who in wanted.items():
        if name not in known:
            raise UserError(f"there is no column {name} ({who})", where=where, cure=did_you_mean(name, known))


def require_names(names: Sequence[str], where: str) -> None:
    """Check the names of a table: distinct, and none that a data set keeps for itself.

    Raises:
        UserError: One is unfit.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"two columns are called {twice[0]}", where=where, cure="rename one of them")
    taken = sorted({*RESERVED.intersection(names), *filter(is_target, names)})
    if taken:
        raise UserError(f"a column is called {taken[0]}, a name that is reserved", where=where, cure="rename it")


def require_id(name: str, dtype: pl.DataType, where: str) -> None:
    """Check that a column can hold ids: integers or strings.

    Raises:
        UserError: It holds something else.
    """
    if dtype.is_integer() or dtype == pl.String:
        return
    why = "; integers beside nulls are often stored as floats" if dtype.is_float() else ""
    raise UserError(
        f"the id column {name} holds {dtype}{why}", where=where, cure="store ids as integers or strings, without nulls"
    )


def require_same_key(name: str, left: tuple[str, pl.DataType], right: tuple[str, pl.DataType]) -> None:
    """Check that ids of two tables can be compared.

    Raises:
        UserError: One holds integers, the other strings.
    """
    (left_file, left_type), (right_file, right_type) = left, right
    if left_type.is_integer() != right_type.is_integer():
        raise UserError(
            f"the column {name} is of type {left_type} in {left_file} and {right_type} in {right_file}",
            cure="store the ids alike (for a CSV, add `dtypes`)",
        )


def require_unique(frame: pl.DataFrame, name: str, where: str) -> None:
    """Check that each id has one row and no row lacks one.

    Raises:
        UserError: An id occurs twice (the smallest such id is named), or a row has none.
    """
    ids = frame[name]
    if ids.null_count():
        raise UserError(f"{ids.null_count()} rows have no {name}", where=where, cure="remove those rows")
    twice = ids.filter(ids.is_duplicated())
    if len(twice):
        raise UserError(
            f"the id {twice.min()!r} has more than one row in the column {name}",
            where=where,
            cure="give one row an id",
        )


def require_values(nulls: Mapping[str, int], rows: int, where: str) -> None:
    """Check that no column is all null.

    Raises:
        UserError: One is; names it.
    """
    empty = next((name for name, count in nulls.items() if count == rows), None)
    if empty is not None:
        raise UserError(f"the column {empty} holds no value at all", where=where, cure="leave it out of the config")


def require_int64(highest: Mapping[str, Any], where: str) -> None:
    """Check that integers are below 2^63, the most that an engine and a serving graph hold in an int64.

    Args:
        highest: Column -> its largest value.
        where: The table.

    Raises:
        UserError: One is larger; names it.

    Example:
        >>> require_int64({"id": 17}, "log.parquet")
    """
    for name, high in highest.items():
        if isinstance(high, int) and high > INT_MAX:
            raise UserError(
                f"the column {name} holds {high}, beyond the largest int64 (2^63 - 1)",
                where=where,
                cure="store ids as strings, and numbers as floats",
            )


def require_small(frame: pl.DataFrame) -> None:
    """The same for rows in memory, whose unsigned columns alone can hold more.

    Raises:
        UserError: One does; names it.

    Example:
        >>> require_small(pl.DataFrame({"id": [1]}, schema={"id": pl.UInt64}))
    """
    for name, dtype in frame.schema.items():
        if dtype == pl.UInt64:
            require_int64({name: frame[name].max()}, f"column {name}")


def require_full(nulls: Mapping[str, int], names: Iterable[str | None], where: str) -> None:
    """Check that columns hold no null: ids, times and targets.

    Raises:
        UserError: One does; says how many.
    """
    for name in names:
        if name is not None and nulls[name]:
            raise UserError(
                f"the column {name} is null in {nulls[name]} rows", where=where, cure="remove those rows or fill them"
            )


def require_splits(rows: Mapping[str, int], expected: Sequence[str]) -> None:
    """Check that the splits that should have rows have some.

    Raises:
        UserError: One is empty.
    """
    for split in expected:
        if not rows[split]:
            told = ", ".join(f"{name} {count}" for name, count in rows.items())
            raise UserError(
                f"the {split} split is empty ({told} rows)",
                where="etl.split",
                cure="choose other shares, another kind of split, or set the share to 0",
            )
