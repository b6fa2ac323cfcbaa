"""Vocabularies that are given to categorify instead of learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import DType
from core.spec import fault_at
from etl.ops.category_tables import VALUE
from etl.ops.vocabularies import COUNT
from etl.types import POLARS, dtype_of
from etl.values.merlin import check_values, merlin_vocabularies, read_vocabulary

GivenValues = tuple[int | str, ...]
Vocabs = str | Mapping[str, str | GivenValues]
"""A directory of NVTabular, or column (or group) -> values or file."""


def normal_vocabs(value: Any, sep: str) -> Any:
    """Given vocabularies as plain values: column (or group) -> path or tuple of values; or one path.

    Example:
        >>> normal_vocabs({("a", "b"): pl.Series(["x", None, "y"])}, "_")
        {'a_b': ('x', 'y')}
    """
    if value is None or isinstance(value, str | Path):
        return None if value is None else str(value)
    if not isinstance(value, Mapping):
        told = f"must be a directory, or a mapping from column to its values or to a file, got {value!r:.99}"
        raise fault_at(("vocabs",), told)
    names = {name: sep.join(name) if isinstance(name, tuple) else name for name in value}
    return {names[name]: _plain(one, names[name]) for name, one in value.items()}


def placed_vocabs(vocabs: Vocabs, base: Path) -> Vocabs:
    """The same, with paths that don't depend on the working directory.

    Example:
        >>> placed_vocabs({"a": "x.parquet", "b": ("x", "y")}, Path("/data"))
        {'a': '/data/x.parquet', 'b': ('x', 'y')}
    """
    if isinstance(vocabs, str):
        return str(base / vocabs)
    return {name: str(base / one) if isinstance(one, str) else one for name, one in vocabs.items()}


def vocabulary_files(vocabs: Vocabs | None, base: Path) -> tuple[Path, ...]:
    """The files that hold given vocabularies, by absolute path; what is missing is among them."""
    if vocabs is None:
        return ()
    placed = placed_vocabs(vocabs, base.absolute())
    named = [placed] if isinstance(placed, str) else [one for one in placed.values() if isinstance(one, str)]
    found = []
    for path in map(Path, named):
        inside = sorted(path.rglob("*.parquet")) if path.is_dir() else []
        found += [one for one in inside if one.is_file()] or ([] if path.is_dir() else [path])
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Wanted:
    """Which vocabulary is to be given.

    Attributes:
        name: Of its column or group.
        parts: The columns of a combination; none for single values.
        schema: Types of the columns that make a value.
    """

    name: str
    parts: tuple[str, ...]
    schema: pl.Schema

    @property
    def dtypes(self) -> list[DType]:
        """The same types in our words."""
        return [dtype_of(dtype, self.name) for dtype in self.schema.values()]


def given_vocabulary(vocabs: Vocabs, wanted: Wanted, *, first: int, most: int) -> pl.DataFrame:
    """The values, in the order of ids, with their counts (0 where nothing is known of them).

    Args:
        vocabs: See `Categorify`.
        wanted: Which of them.
        first: Own id of the first value.
        most: Largest number of values.

    Raises:
        UserError: There is no such vocabulary, or it doesn't fit the column or the settings.
    """
    if isinstance(vocabs, str):
        known = merlin_vocabularies(vocabs)
        if wanted.name not in known:
            told = f"there is no vocabulary of {wanted.name} here (unique.{wanted.name}.parquet)"
            raise UserError(told, where=vocabs, cure="give the column a categorify of its own")
        found = _read(known[wanted.name], wanted, first)
    else:
        one = vocabs[wanted.name]
        found = _read(one, wanted, first) if isinstance(one, str) else _from_values(one, wanted)
    if found.height > most:
        told = f"the given vocabulary has {found.height} values, and max_size leaves {most}"
        raise UserError(told, where=f"column {wanted.name}", cure="leave max_size out")
    return found


def _read(path: str, wanted: Wanted, first: int) -> pl.DataFrame:
    given = read_vocabulary(path, wanted.parts or (wanted.name,), wanted.dtypes)
    if given.first is not None and given.first != first:
        buckets = given.first - 2
        told = (
            f"the ids of the vocabulary start at {given.first}, and num_buckets {first - 2} lets them start at {first}"
        )
        known = f"set num_buckets: {buckets}, if NVTabular had that (ids of single_table can't be taken over)"
        cure = known if buckets > 0 else "write the vocabulary with NVTabular 23.8 again"
        raise UserError(told, where=path, cure=cure)
    return given.table


def _from_values(values: GivenValues, wanted: Wanted) -> pl.DataFrame:
    where, cure = f"column {wanted.name}", "give each value once, in the order of ids"
    if wanted.parts:
        told = "values can't be given for a combination of columns"
        raise UserError(told, where=where, cure="give the path of a unique.NAME.parquet")
    dtype = wanted.dtypes[0]
    kind = str if dtype == DType.STRING else int
    for value in values:
        if type(value) is not kind or value == "":
            shown = "texts" if kind is str else "whole numbers"
            raise UserError(f"the given vocabulary must hold {shown}, got {value!r}", where=where, cure=cure)
    series = pl.Series(VALUE, list(values), POLARS[dtype])
    return check_values(series.to_frame().with_columns(pl.lit(0, pl.Int64).alias(COUNT)), where, cure=cure)


def _plain(value: Any, name: str) -> Any:
    """A path as text; a series, an array or a list as a tuple without nulls."""
    if isinstance(value, str | Path):
        return str(value)
    listed = value.to_list() if hasattr(value, "to_list") else value
    listed = listed.tolist() if hasattr(listed, "tolist") else listed
    if not isinstance(listed, list | tuple):
        told = f"must be a list of values or the path of a Parquet file, got {value!r:.99}"
        raise fault_at(("vocabs", name), told)
    known = tuple(one for one in listed if one is not None and one == one)  # noqa: PLR0124 - NaN alone differs
    for one in known:
        if not isinstance(one, int | str) or isinstance(one, bool):
            raise fault_at(("vocabs", name), f"must hold texts or whole numbers, got {one!r:.99}")
    return known
