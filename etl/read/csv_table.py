"""CSV files as one lazy frame. Nothing is mended in silence: a broken line is an error with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl
import polars.exceptions as pe

from core import log
from core.errors import UserError
from etl.dataset.checks import require_names
from etl.read.csv_lines import ZONED, Layout, faults, header, misfit, zone_line

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
        layout: How their fields lie.
        dtypes: Types that the user gave.
    """

    files: tuple[Path, ...]
    layout: Layout
    dtypes: Mapping[str, str]

    @property
    def times(self) -> list[str]:
        """The columns of times."""
        return [name for name, kind in self.dtypes.items() if kind == "datetime"]

    def scan(self, row_index: str, *, thorough: bool) -> pl.LazyFrame:
        """A lazy frame with the number of each row; lines that hold nothing are no rows.

        Times with a zone become UTC; the type has no zone either way.

        Args:
            row_index: Name of the column with the numbers.
            thorough: Look at every row to tell the types.
        """
        kept = self._scan(row_index=row_index, thorough=thorough)
        kept = kept.filter(~pl.all_horizontal(pl.exclude(row_index).is_null()))
        if not self.times:
            return kept
        instant = pl.col(self.times).str.to_datetime(time_unit="us", time_zone="UTC")
        return kept.with_columns(instant.dt.replace_time_zone(None))

    def _scan(self, *, row_index: str | None, thorough: bool, files: Sequence[Path] = ()) -> pl.LazyFrame:
        layout = self.layout
        return pl.scan_csv(
            list(files or self.files),
            separator=layout.separator,
            has_header=layout.has_header,
            schema_overrides={name: _TYPES[kind] for name, kind in self.dtypes.items()},
            null_values=list(layout.nulls) or None,
            infer_schema_length=None if thorough else QUICK_LOOK,
            row_index_name=row_index,
            glob=False,
            new_columns=None if layout.has_header else list(layout.names),
        )

    @cached_property
    def short_lines(self) -> bool:
        """Whether a line may have too few fields, which Polars would fill with nulls in silence.

        Counts separators in one vectorised pass; a value that spans lines can raise a false alarm.
        """
        least = len(self.layout.names) - 1
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
            few = bare.str.count_matches(self.layout.separator, literal=True) < least
            try:
                if lines.select(few.any()).collect(engine="streaming").item():
                    return True
            except pe.PolarsError:
                return True
        return False

    @cached_property
    def two_clocks(self) -> UserError | None:
        """What is wrong where only some times of a column have a zone: the others would be hours off in silence."""
        if not self.times:
            return None
        zoned = pl.col(self.times).str.contains(ZONED)
        asked = [zoned.any().name.suffix("+"), (~zoned).any().name.suffix("-")]
        found = self._scan(row_index=None, thorough=False).select(asked).collect(engine="streaming").row(0, named=True)
        for name in self.times:
            if found[f"{name}+"] and found[f"{name}-"]:
                return UserError(
                    f"the times in the column {name} have a zone in some lines ({self._line(name, zoned=True)}) and "
                    f"none in others ({self._line(name, zoned=False)})",
                    cure="write all of them alike, best in UTC",
                )
        return None

    def _line(self, name: str, *, zoned: bool) -> str:
        places = ((path, zone_line(path, self.layout, name, zoned=zoned)) for path in self.files)
        return next(f"{path}:{line}" for path, line in places if line is not None)

    def broken_line(self) -> UserError | None:
        """Read the files once more, slowly and exactly, to find the first line that is broken."""
        return next((fault for path in self.files for fault in faults(path, self.layout)), None)

    def misfit(self) -> UserError | None:
        """Look, as slowly, for the first value that isn't of the type that the user gave its column."""
        return self._misfit(self.dtypes)

    def tell_changes(self, *, thorough: bool) -> None:
        """Log the columns that look like numbers at first and hold text all the same, with the value that is to blame.

        Args:
            thorough: All rows tell the types; else the first rows of each file.
        """
        if not thorough and len(self.files) == 1:
            return
        first = self._scan(row_index=None, thorough=False, files=self.files[:1]).collect_schema()
        found = self._scan(row_index=None, thorough=thorough).collect_schema()
        for name, dtype in first.items():
            if dtype.is_numeric() and found[name] == pl.String:
                odd = self._misfit({name: "int64" if dtype.is_integer() else "float64"})
                if odd is not None:
                    log.get("etl").warning("the column %s is read as text: %s (%s)", name, odd.what, odd.where)

    def _misfit(self, types: Mapping[str, str]) -> UserError | None:
        found = (misfit(path, self.layout, types) for path in self.files)
        return next((fault for fault in found if fault is not None), None)


def open_csv(
    files: tuple[Path, ...],
    *,
    separator: str,
    columns: Sequence[str] = (),
    dtypes: Mapping[str, str] | None = None,
    nulls: Sequence[str] = (),
) -> CsvFiles:
    """Read the headers of CSV files and check that they agree.

    Raises:
        UserError: A file is empty or not text, a name occurs twice, headers differ, or `dtypes` names no column.
    """
    headers = {path: tuple(columns) or header(path, separator) for path in files}
    first = files[0]
    for path, names in headers.items():
        _check_names(path, names, headers[first], first)
    unknown = sorted(set(dtypes or {}).difference(headers[first]))
    if unknown:
        raise UserError(f"`dtypes` names the column {unknown[0]}, which isn't there", where=str(first))
    opened = CsvFiles(files, Layout(separator, headers[first], not columns, tuple(nulls)), dtypes or {})
    opened.tell_changes(thorough=False)
    return opened


def _check_names(path: Path, names: tuple[str, ...], expected: tuple[str, ...], first: Path) -> None:
    require_names(names, f"{path}:1")
    if names != expected:
        odd = next((name for name in [*expected, *names] if (name in expected) != (name in names)), names[0])
        raise UserError(
            f"the header differs from that of {first}, at the column {odd}",
            where=f"{path}:1",
            cure="files of one table must have the same columns in the same order",
        )
