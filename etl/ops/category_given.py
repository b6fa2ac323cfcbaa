"""Vocabularies that are given to categorify instead of learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import DType
from etl.merlin import check_values, merlin_vocabularies, read_vocabulary
from etl.ops.category_tables import VALUE, Table
from etl.ops.vocabularies import COUNT
from etl.types import POLARS

GivenValues = tuple[int | str, ...]


def normal_vocabs(value: Any, sep: str) -> Any:
    """Given vocabularies as plain values: column (or group) -> path or tuple of values; or one path.

    Example:
        >>> normal_vocabs({("a", "b"): pl.Series(["x", None, "y"])}, "_")
        {'a_b': ('x', 'y')}
    """
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, Mapping):
        return value
    names = {name: sep.join(name) if isinstance(name, tuple) else name for name in value}
    return {names[name]: _plain(one) for name, one in value.items()}


def given_vocabulary(
    vocabs: str | Mapping[str, str | GivenValues], table: Table, *, first: int, most: int
) -> pl.DataFrame:
    """The values of a table, in the order of ids, with their counts (0 where nothing is known of them).

    Args:
        vocabs: See `Categorify`.
        table: Whose values are wanted.
        first: Own id of the first value.
        most: Largest number of values.

    Raises:
        UserError: There is no such vocabulary, or it doesn't fit the column or the settings.
    """
    if isinstance(vocabs, str):
        known = merlin_vocabularies(vocabs)
        if table.name not in known:
            told = f"there is no vocabulary of {table.name} here (unique.{table.name}.parquet)"
            raise UserError(told, where=vocabs, cure="give the column a categorify of its own")
        found = _read(known[table.name], table, first)
    else:
        one = vocabs[table.name]
        found = _read(one, table, first) if isinstance(one, str) else _from_values(one, table)
    if found.height > most:
        told = f"the given vocabulary has {found.height} values, and max_size leaves {most}"
        raise UserError(told, where=f"column {table.name}", cure="leave max_size out")
    return found


def _read(path: str, table: Table, first: int) -> pl.DataFrame:
    names = [column.name for column in table.columns] if table.combined else [table.name]
    given = read_vocabulary(path, names, table.dtypes)
    if given.first is not None and given.first != first:
        buckets = given.first - 2
        told = (
            f"the ids of the vocabulary start at {given.first}, and num_buckets {first - 2} lets them start at {first}"
        )
        cure = f"set num_buckets: {buckets}" if buckets > 0 else "write the vocabulary with NVTabular 23.8 again"
        raise UserError(told, where=path, cure=cure)
    return given.table


def _from_values(values: GivenValues, table: Table) -> pl.DataFrame:
    where, cure = f"column {table.name}", "give each value once, in the order of ids"
    if table.combined:
        told = "values can't be given for a combination of columns"
        raise UserError(told, where=where, cure="give the path of a unique.NAME.parquet")
    wanted = str if table.dtypes[0] == DType.STRING else int
    for value in values:
        if type(value) is not wanted or value == "":
            shown = "texts" if wanted is str else "whole numbers"
            raise UserError(f"the given vocabulary must hold {shown}, got {value!r}", where=where, cure=cure)
    series = pl.Series(VALUE, list(values), POLARS[table.dtypes[0]])
    return check_values(series.to_frame().with_columns(pl.lit(0, pl.Int64).alias(COUNT)), where, cure=cure)


def _plain(value: Any) -> Any:
    """A path as text; a series, an array or a list as a tuple without nulls."""
    if isinstance(value, str | Path):
        return str(value)
    listed = value.to_list() if hasattr(value, "to_list") else value
    listed = listed.tolist() if hasattr(listed, "tolist") else listed
    if not isinstance(listed, list | tuple):
        return value
    return tuple(one for one in listed if one is not None and one == one)  # noqa: PLR0124 - NaN alone differs
