"""Rows of events for the contract of operators that look at other rows: who, what, when, and what came of it."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl
from hypothesis import strategies as st

from tests.contract.frames import Frames

SCHEMA = {
    "user": pl.Int64(),
    "film": pl.String(),
    "at": pl.Datetime("us"),
    "tick": pl.Int64(),
    "price": pl.Float64(),
    "liked": pl.Int8(),
}


_day = dt.datetime.fromisoformat


def _at(minute: int) -> dt.datetime:
    return _day("2026-01-01") + dt.timedelta(minutes=minute)


TRAIN = pl.DataFrame(
    {
        "user": [1, 2, 1, None, 1, 2, 1, 3],
        "film": ["a", "b", "", "a", "é", "a", None, "b"],
        # Out of order, with two events at once.
        "at": [_at(30), _at(10), _at(0), _at(5), _at(30), None, _at(45), _at(20)],
        "tick": [30, 10, 0, 5, 30, 7, 45, 20],
        "price": [1.5, math.nan, -2.25, 0.1, 0.25, None, 1e6, 7.0],
        "liked": [1, 0, None, 1, 0, 1, 1, 0],
    },
    schema=SCHEMA,
)

ODD = pl.DataFrame(
    {
        "user": [2**63 - 1, -(2**63) + 1, -(2**63), 0, None, 2**63 - 1],
        "film": ["", None, "a" * 1000, "\U0001f985 e\u0301", " a", "A"],
        "at": [_day("0001-01-01"), _day("9999-12-31"), None, _at(0), _at(0), _day("0001-01-02")],
        "tick": [2**63 - 1, -(2**63) + 1, -(2**63), 0, None, 5],
        "price": [math.inf, -math.inf, math.nan, None, 5e-324, 1e300],
        "liked": [-128, 127, None, 0, 1, 1],
    },
    schema=SCHEMA,
)

EVENTS = Frames(
    TRAIN,
    ODD,
    {
        "user": st.integers(1, 3),
        "film": st.sampled_from(["a", "b", "é", ""]),
        "at": st.integers(0, 60).map(_at),
        "tick": st.integers(0, 60),
        "price": st.floats() | st.floats(-9, 9),
        "liked": st.integers(0, 1),
    },
)
