"""CSV files read slowly and exactly, line by line, to name the place of what the fast reader couldn't read."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import polars as pl
import polars.exceptions as pe

from core.errors import UserError

ZONED = r"(?i)\d:\d{2}(:\d{2}([.,]\d+)?)?\s*(z|[+-]\d{2}(:?\d{2})?)$"
"""A time of day, then Z or an offset: `2024-05-06T07:08:09+02:00`."""
_BATCH = 20_000


@dataclass(frozen=True)
class Layout:
    """How fields lie in a CSV file.

    Attributes:
        separator: Between fields.
        names: Of the columns.
        has_header: The first line of each file holds the names.
        nulls: Texts that mean "no value", beside the empty one.
    """

    separator: str
    names: tuple[str, ...]
    has_header: bool = True
    nulls: tuple[str, ...] = ()


def header(path: Path, separator: str) -> tuple[str, ...]:
    """The fields of the first line.

    Raises:
        UserError: The file is empty, or not text.
    """
    try:
        fields = next(csv.reader(_lines(path), delimiter=separator), None)
    except _NotUtf8:
        raise UserError("this is not UTF-8 text", where=f"{path}:1", cure="convert the file to UTF-8") from None
    if not fields:
        raise UserError("the file is empty", where=str(path), cure="give a file with a header line and rows")
    return tuple(fields)


def faults(path: Path, layout: Layout) -> Iterator[UserError]:
    """The broken lines of a file: too few or too many fields, an open quote, bytes that are no text."""
    reader, width = csv.reader(_lines(path), delimiter=layout.separator, strict=True), len(layout.names)
    start = 1
    try:
        for fields in reader:
            if any(fields) and len(fields) != width:
                told = f"this line has {len(fields)} fields, the others have {width}"
                yield UserError(told, where=f"{path}:{start}", cure="mend the line")
            start = reader.line_num + 1
    except csv.Error as error:
        yield UserError(f"this line can't be read ({error})", where=f"{path}:{start}", cure="mend the line")
    except _NotUtf8 as error:
        yield UserError("this line is not UTF-8 text", where=f"{path}:{error.line}", cure="convert the file to UTF-8")


def misfit(path: Path, layout: Layout, types: Mapping[str, str]) -> UserError | None:
    """The first value that is not of the type of its column, with its line.

    Args:
        path: The file, without broken lines.
        layout: Of the file.
        types: Column -> type, one of `etl.dataset.sources.RawType`.
    """
    for name, kind in types.items():
        found = _first(path, layout, name, partial(_unfit, kind))
        if found is not None:
            line, value = found
            return UserError(
                f"the value {value!r} in the column {name} is no {kind}",
                where=f"{path}:{line}",
                cure="mend the value, name it under `nulls`, or give the column another type in `dtypes`",
            )
    return None


def zone_line(path: Path, layout: Layout, name: str, *, zoned: bool) -> int | None:
    """The first line of which the time in a column has a zone (or has none)."""
    found = _first(path, layout, name, lambda texts: texts.str.contains(ZONED) == zoned)
    return None if found is None else found[0]


def _first(path: Path, layout: Layout, name: str, odd: Callable[[pl.Series], pl.Series]) -> tuple[int, str] | None:
    """Line and text of the first value of a column that a rule finds odd; texts that mean "no value" are passed by."""
    place = layout.names.index(name)
    for batch in _batches(path, layout):
        texts = pl.Series([fields[place] for _, fields in batch], dtype=pl.String)
        hits = (~texts.is_in(["", *layout.nulls]) & odd(texts)).arg_true()
        if len(hits):
            return batch[hits[0]][0], texts[hits[0]]
    return None


def _unfit(kind: str, texts: pl.Series) -> pl.Series:
    return ~_fits(texts, kind)


def _fits(texts: pl.Series, kind: str) -> pl.Series:
    if kind == "datetime":
        try:
            return texts.str.to_datetime(time_unit="us", time_zone="UTC", strict=False).is_not_null()
        except pe.PolarsError:  # the first value tells the format of all, and this one tells none
            return pl.Series([False]).new_from_index(0, len(texts))
    if kind == "bool":
        return texts.str.to_lowercase().is_in(["true", "false"])
    return texts.cast({"int64": pl.Int64(), "float64": pl.Float64()}.get(kind, pl.String()), strict=False).is_not_null()


def _batches(path: Path, layout: Layout) -> Iterator[list[tuple[int, list[str]]]]:
    """Rows with the number of their first line, some thousands at a time; blank lines are no rows."""
    reader = csv.reader(_lines(path), delimiter=layout.separator)
    start, batch = 1, []
    for fields in reader:
        if any(fields) and len(fields) == len(layout.names) and not (layout.has_header and start == 1):
            batch.append((start, fields))
        start = reader.line_num + 1
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _NotUtf8(Exception):
    """A line of a file is not UTF-8."""

    def __init__(self, line: int) -> None:
        self.line = line
        super().__init__(line)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file, each decoded on its own, so that a bad one can be named."""
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise _NotUtf8(number) from None


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
