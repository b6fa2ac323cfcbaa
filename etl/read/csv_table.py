"""CSV files as one lazy frame. Nothing is mended in silence: a broken line is an error with its place."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl
import polars.exceptions as pe

from core.errors import UserError
from etl.checks import require_names

QUICK_LOOK = 10_000
"""Rows that tell the types at first; where later values contradict them, every row is looked at."""
_TYPES: dict[str, pl.DataType] = {
    "int64": pl.Int64(),
    "float64": pl.Float64(),
    "bool": pl.Boolean(),
    "string": pl.String(),
    "datetime": pl.String(),
}


@dataclass(frozen=True)
class CsvFiles:
    """CSV files with one header.

    Attributes:
        files: In order.
        separator: Between fields.
        names: Of the columns.
        has_header: The first line of each file holds the names.
        dtypes: Types that the user gave.
        nulls: Texts that mean "no value".
    """

    files: tuple[Path, ...]
    separator: str
    names: tuple[str, ...]
    has_header: bool
    dtypes: dict[str, str]
    nulls: tuple[str, ...]

    def scan(self, row_index: str, *, thorough: bool) -> pl.LazyFrame:
        """A lazy frame with the number of each row; lines that hold nothing are no rows.

        Args:
            row_index: Name of the column with the numbers.
            thorough: Look at every row to tell the types.
        """
        names = {} if self.has_header else {"new_columns": list(self.names)}
        frame = pl.scan_csv(
            list(self.files),
            separator=self.separator,
            has_header=self.has_header,
            schema_overrides={name: _TYPES[kind] for name, kind in self.dtypes.items()},
            null_values=list(self.nulls) or None,
            infer_schema_length=None if thorough else QUICK_LOOK,
            row_index_name=row_index,
            glob=False,
            **names,  # type: ignore[arg-type]
        )
        times = [name for name, kind in self.dtypes.items() if kind == "datetime"]
        kept = frame.filter(~pl.all_horizontal(pl.exclude(row_index).is_null()))
        return kept.with_columns(pl.col(times).str.to_datetime(time_unit="us")) if times else kept

    def short_lines(self) -> bool:
        """Whether a line may have too few fields, which Polars would fill with nulls in silence.

        Counts separators in one vectorised pass; a value that spans lines can raise a false alarm.
        """
        least = len(self.names) - 1
        if least == 0:
            return False
        for path in self.files:
            lines = pl.scan_csv(
                path,
                has_header=False,
                separator="\x01",
                quote_char=None,
                new_columns=["line"],
                infer_schema=False,
                glob=False,
            )
            bare = pl.col("line").str.replace_all('"[^"]*"', "")
            few = bare.str.count_matches(self.separator, literal=True) < least
            try:
                if lines.select(few.any()).collect(engine="streaming").item():
                    return True
            except pe.PolarsError:
                return True
        return False

    def broken_line(self) -> UserError | None:
        """Read the files once more, slowly and exactly, to find the first line that is broken."""
        return next((fault for path in self.files for fault in self._faults(path)), None)

    def _faults(self, path: Path) -> Iterator[UserError]:
        reader = csv.reader(_lines(path), delimiter=self.separator, strict=True)
        start = 1
        try:
            for fields in reader:
                blank = not any(fields)
                if not blank and len(fields) != len(self.names):
                    yield UserError(
                        f"this line has {len(fields)} fields, the others have {len(self.names)}",
                        where=f"{path}:{start}",
                        cure="mend the line",
                    )
                start = reader.line_num + 1
        except csv.Error as error:
            yield UserError(f"this line can't be read ({error})", where=f"{path}:{start}", cure="mend the line")
        except _NotUtf8 as error:
            yield UserError(
                "this line is not UTF-8 text", where=f"{path}:{error.line}", cure="convert the file to UTF-8"
            )


def open_csv(
    files: tuple[Path, ...],
    *,
    separator: str,
    columns: Sequence[str] = (),
    dtypes: dict[str, str] | None = None,
    nulls: Sequence[str] = (),
) -> CsvFiles:
    """Read the headers of CSV files and check that they agree.

    Raises:
        UserError: A file is empty or not text, a name occurs twice, headers differ, or `dtypes` names no column.
    """
    headers = {path: tuple(columns) or _header(path, separator) for path in files}
    first = files[0]
    for path, names in headers.items():
        _check_names(path, names, headers[first], first)
    unknown = sorted(set(dtypes or {}).difference(headers[first]))
    if unknown:
        raise UserError(f"`dtypes` names the column {unknown[0]}, which isn't there", where=str(first))
    return CsvFiles(files, separator, headers[first], not columns, dtypes or {}, tuple(nulls))


def _check_names(path: Path, names: tuple[str, ...], expected: tuple[str, ...], first: Path) -> None:
    require_names(names, f"{path}:1")
    if names != expected:
        odd = next((name for name in [*expected, *names] if (name in expected) != (name in names)), names[0])
        raise UserError(
            f"the header differs from that of {first}, at the column {odd}",
            where=f"{path}:1",
            cure="files of one table must have the same columns in the same order",
        )


def _header(path: Path, separator: str) -> tuple[str, ...]:
    try:
        fields = next(csv.reader(_lines(path), delimiter=separator), None)
    except _NotUtf8:
        raise UserError("this is not UTF-8 text", where=f"{path}:1", cure="convert the file to UTF-8") from None
    if not fields:
        raise UserError("the file is empty", where=str(path), cure="give a file with a header line and rows")
    return tuple(fields)


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


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]
