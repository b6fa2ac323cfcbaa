"""One raw table: found, checked, scanned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import polars as pl
import polars.exceptions as pe

from core.dataset import ROW
from core.errors import UserError
from etl.dataset.sources import TableSpec
from etl.engines.failures import brief, system_error
from etl.read import parquet_table
from etl.read.csv_table import CsvFiles, open_csv
from etl.read.paths import find, format_of, separator_of

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """A raw table on disk.

    Attributes:
        files: What it is made of, in order.
        csv: How to read it when it is a CSV.
    """

    files: tuple[Path, ...]
    csv: CsvFiles | None = field(default=None)

    @property
    def name(self) -> str:
        """How messages call it."""
        return str(self.files[0]) if len(self.files) == 1 else f"{self.files[0]} and {len(self.files) - 1} more"

    def scan(self, *, thorough: bool = False) -> pl.LazyFrame:
        """A lazy frame with ROW first, NaN as null and encodings of strings undone.

        Args:
            thorough: Look at every row of a CSV to tell the types of its columns.
        """
        csv = self.csv
        return tidy(parquet_table.scan(self.files, ROW) if csv is None else csv.scan(ROW, thorough=thorough))

    def read(self, work: Callable[[pl.LazyFrame], T]) -> T:
        """Do what needs the rows; where the files can't be read, tell which, and where.

        A CSV whose later values contradict the types that its first rows told is read again, types from all rows.

        Raises:
            UserError: A file or a line is broken; names it.
        """
        if self.csv is not None and self.csv.short_lines:
            self._raise_broken_line()
        try:
            try:
                if self.csv is not None:
                    self._raise(self.csv.two_clocks)
                return work(self.scan())
            except pe.PolarsError as error:
                if self.csv is None or system_error(error) is not None:
                    raise
                self._raise_broken_line()
                self._raise(self.csv.misfit())
                self.csv.tell_changes(thorough=True)
                return work(self.scan(thorough=True))
        except OSError as error:
            raise system_error(error) or error from error
        except pe.PolarsError as error:
            raise system_error(error) or self.fault(error) from error

    def fault(self, error: pe.PolarsError) -> UserError:
        """What to tell when Polars couldn't read the rows: the broken file where one is found."""
        found = parquet_table.broken_file(self.files) if self.csv is None else None
        return found or UserError(f"the table can't be read ({brief(error)})", where=self.name)

    def _raise_broken_line(self) -> None:
        self._raise(self.csv.broken_line() if self.csv is not None else None)

    @staticmethod
    def _raise(fault: UserError | None) -> None:
        if fault is not None:
            raise fault


def open_table(spec: TableSpec) -> Table:
    """Find and check the files of a table; no row is read.

    Raises:
        UserError: A file is missing, broken or unlike the others, or a column has another's name.
    """
    files = find(spec)
    if format_of(spec, files) == "parquet":
        return Table(files)
    separator = separator_of(spec, files)
    return Table(
        files, open_csv(files, separator=separator, columns=spec.columns, dtypes=dict(spec.dtypes), nulls=spec.nulls)
    )


def tidy(frame: pl.LazyFrame) -> pl.LazyFrame:
    """NaN becomes null, and columns with encodings that engines treat differently become plain ones."""
    changes = []
    for name, dtype in frame.collect_schema().items():
        if dtype.is_float():
            changes.append(pl.col(name).fill_nan(None))
        elif isinstance(dtype, pl.Categorical | pl.Enum):
            changes.append(pl.col(name).cast(pl.String))
        elif isinstance(dtype, pl.Decimal):
            changes.append(pl.col(name).cast(pl.Float64))
    return frame.with_columns(changes) if changes else frame
