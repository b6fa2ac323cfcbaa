"""Rows of lists for the contract of operators: of every type, null and empty lists, and nulls inside."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl
from hypothesis import strategies as st

from tests.contract.frames import ODD, SCHEMA, TRAIN, VALUES, Frames

LISTS = ("ints", "bytes", "floats", "dates", "texts")
"""Columns of the frames that hold lists."""
LIST_KEYS = ("ints", "bytes", "dates", "texts")
"""Those that hold integers or strings."""
_INNER = {"ints": "int", "bytes": "small", "floats": "float", "dates": "date", "texts": "text"}
_day = dt.date
_SCHEMA = {**SCHEMA, **{name: pl.List(SCHEMA[inner]) for name, inner in _INNER.items()}}

LIST_TRAIN = TRAIN.with_columns(
    ints=pl.Series([[3, 5, 3], [], None, [None, 3], [-7], [5], [2**40, 3, 3, 3], [9]], dtype=_SCHEMA["ints"]),
    bytes=pl.Series([[1], [1, 2], [], [None], None, [127, -128], [1], [2, 2]], dtype=_SCHEMA["bytes"]),
    floats=pl.Series(
        [[1.5, math.nan], None, [], [None, 0.0], [-2.25], [1.5, 1.5, 1e6], [0.0], [3.0]], dtype=_SCHEMA["floats"]
    ),
    dates=pl.Series(
        [[_day(2026, 1, 1)], [], None, [None], [_day(2026, 1, 1), _day(1969, 1, 2)], [], [], [_day(2026, 1, 3)]],
        dtype=_SCHEMA["dates"],
    ),
    texts=pl.Series(
        [["b", "a"], ["", "a"], None, [], [None, "é"], ["東京", "a", "b"], ["a"], ["b"]], dtype=_SCHEMA["texts"]
    ),
)
LIST_ODD = ODD.with_columns(
    ints=pl.Series([[2**63 - 1], [-(2**63)], [-(2**63) + 1, 0], None, [], [None, None]], dtype=_SCHEMA["ints"]),
    bytes=pl.Series([[-128] * 20, [], None, [0], [127, None], [5]], dtype=_SCHEMA["bytes"]),
    floats=pl.Series(
        [[math.inf, -math.inf], [math.nan], None, [5e-324], [], [None, -1.0, 2.0, 3.0]], dtype=_SCHEMA["floats"]
    ),
    dates=pl.Series(
        [[_day(1, 1, 1)], [_day(9999, 12, 31), None], None, [], [_day(1970, 1, 1)], []], dtype=_SCHEMA["dates"]
    ),
    texts=pl.Series(
        [["", None], ["a" * 1000], ["\U0001f985 e\u0301", " a", "A"], None, [], ["a|b"]], dtype=_SCHEMA["texts"]
    ),
)


LIST_FRAMES = Frames(
    LIST_TRAIN,
    LIST_ODD,
    {**VALUES, **{name: st.lists(st.none() | VALUES[inner], max_size=5) for name, inner in _INNER.items()}},
)
_PIPES = [
    ["a|b", "b", "", None, "|", "a||c|a|d", "東京|é", "b|a"],
    ["|" * 5, "", None, "a" * 999 + "|b", ".|*", " | a"],
]
_PIECES = st.sampled_from(["a", "b", "é", "東京", "", " ", ".", "a b"])
_JOINED = st.lists(_PIECES, max_size=6).map("|".join) | VALUES["text"]
PIPED = Frames(
    TRAIN.with_columns(text=pl.Series(_PIPES[0])),
    ODD.with_columns(text=pl.Series(_PIPES[1])),
    {**VALUES, "text": _JOINED},
)
"""The column `text` holds several values in one string."""
