"""Rows for the contract of operators: frames with a column of every type, and rows drawn at random."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from hypothesis import strategies as st

NUMBERS = ("int", "small", "float", "single", "bool", "date", "time")
"""Columns of the frames that hold numbers (booleans, dates and times count)."""
KEYS = ("int", "small", "bool", "date", "time", "text")
"""Columns that hold integers or strings."""

SCHEMA = {
    "int": pl.Int64(),
    "small": pl.Int8(),
    "float": pl.Float64(),
    "single": pl.Float32(),
    "bool": pl.Boolean(),
    "date": pl.Date(),
    "time": pl.Datetime("us"),
    "text": pl.String(),
}

_at = dt.datetime.fromisoformat

TRAIN = pl.DataFrame(
    {
        "int": [5, 3, 3, None, -7, 2**40, 5, 3],
        "small": [1, None, -128, 127, 1, 0, 0, 1],
        "float": [1.5, math.nan, -2.25, None, 0.0, 1e6, 1.5, -0.5],
        "single": [0.1, 0.2, None, 0.1, 3.0, -1.0, 0.1, math.nan],
        "bool": [True, False, True, None, True, True, False, True],
        "date": [dt.date(2026, 1, day) if day else None for day in (1, 2, 3, 0, 1, 1, 2, 9)],
        "time": [_at(f"2026-01-01T{hour:02}") if hour else None for hour in (1, 2, 3, 0, 1, 1, 2, 9)],
        "text": ["b", "a", "é", "", None, "東京", "a", "b"],
    },
    schema=SCHEMA,
)

ODD = pl.DataFrame(
    {
        "int": [2**63 - 1, -(2**63) + 1, -(2**63), 0, None, 5],
        "small": [-128, 127, None, 0, 1, 2],
        "float": [math.inf, -math.inf, math.nan, None, 5e-324, -1.0],
        "single": [math.inf, -math.inf, math.nan, None, 1e-45, 3.4e38],
        "bool": [True, False, None, None, True, False],
        "date": [dt.date(1, 1, 1), dt.date(9999, 12, 31), None, dt.date(1970, 1, 1), dt.date(2026, 1, 1), None],
        "time": [_at("0001-01-01"), _at("9999-12-31"), None, _at("1970-01-01"), None, None],
        "text": ["", None, "a" * 1000, "\U0001f985 e\u0301", " a", "A"],
    },
    schema=SCHEMA,
)
"""The ends of every type, what stands for null, and texts that look alike."""

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
VALUES = {
    "int": st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9),
    "small": st.integers(-128, 127),
    "float": st.floats() | st.floats(-9, 9) | st.integers(-9, 9).map(float),
    "single": st.floats(width=32) | st.integers(-9, 9).map(float),
    "bool": st.booleans(),
    "date": st.dates(),
    "time": st.datetimes(),
    "text": _TEXT | st.sampled_from(["a", "b", "é", "東京", ""]),
}


@dataclass(frozen=True)
class Frames:
    """The rows that a contract is checked on.

    Attributes:
        train: Rows to fit on.
        odd: Rows with the ends of every type; same columns.
        values: Column -> strategy of its values; null is drawn too, but for the columns in `full`.
        full: Columns that are never null.
    """

    train: pl.DataFrame
    odd: pl.DataFrame
    values: Mapping[str, st.SearchStrategy[Any]]
    full: frozenset[str] = field(default_factory=frozenset)

    def named(self, name: str) -> pl.DataFrame:
        """`train`, `odd`, `one row`, `one odd row` or `empty`."""
        found = {"train": self.train, "odd": self.odd, "one row": self.train[:1], "one odd row": self.odd[:1]}
        return found.get(name, self.train[:0])

    def repeated(self, rows: int) -> pl.DataFrame:
        """A row of values, so many times."""
        schema = self.train.schema
        return pl.DataFrame({name: [self.train[name].drop_nulls()[0]] * rows for name in schema}, schema=schema)

    def rows(self, columns: Sequence[str]) -> st.SearchStrategy[pl.DataFrame]:
        """Frames of 1 to 8 rows with these columns; any value of the type, or null."""
        nulls = {name: st.nothing() if name in self.full else st.none() for name in columns}
        one = st.fixed_dictionaries({name: nulls[name] | self.values[name] for name in columns})
        schema = {name: self.train.schema[name] for name in columns}
        drawn = st.lists(one, min_size=1, max_size=8)
        return drawn.map(lambda found: pl.DataFrame(found, schema=schema, orient="row"))


FRAMES = Frames(TRAIN, ODD, VALUES)


def rows(columns: Sequence[str]) -> st.SearchStrategy[pl.DataFrame]:
    """Frames of 1 to 8 rows with these columns; any value of the type, or null."""
    return FRAMES.rows(columns)
