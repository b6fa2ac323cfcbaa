"""Positions of keys among values, beside a Python dict."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.onnx import INT_NULL
from etl.values.lookup import add_ids, found
from etl.values.probing import Positions, _home, _Texts, _Whole

WHOLE = st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9) | st.integers(0, 99).map(lambda n: n << 56)
TEXT = st.text(max_size=3)


def expected(values: list[int] | list[str], keys: list[int | None] | list[str | None]) -> list[int]:
    places = {value: place for place, value in enumerate(values)}
    return [-1 if key is None else places.get(key, -1) for key in keys]


@given(st.lists(WHOLE, unique=True), st.lists(st.none() | WHOLE))
def test_integers(values, others):
    keys = [*others, *values, *others, *values[::-1]]
    found = Positions(pl.Series(values, dtype=pl.Int64))(pl.Series(keys, dtype=pl.Int64))
    assert found.to_list() == expected(values, keys)


@given(st.lists(TEXT, unique=True), st.lists(st.none() | TEXT))
def test_texts(values, others):
    keys = [*others, *values, *others, *values[::-1]]
    found = Positions(pl.Series(values, dtype=pl.String))(pl.Series(keys, dtype=pl.String))
    assert found.to_list() == expected(values, keys)


@pytest.mark.parametrize("dtype", [pl.Int64, pl.String])
def test_many_values_in_pieces(dtype):
    """More values and keys than are worked on at once, and keys that collide."""
    whole = (pl.int_range(0, 3000, eager=True) * 1024).shuffle(seed=1)
    values, others = whole.cast(dtype), (whole + 1).cast(dtype)
    with patch("etl.values.probing.BUILD", 77), patch("etl.values.probing.BLOCK", 100):
        found = Positions(values, first=5, unknown=2)(pl.concat([values, others, values]))
    own = list(range(5, 3005))
    assert found.to_list() == [*own, *[2] * 3000, *own]


def test_the_most_frequent_value_lies_where_it_is_looked_for_first():
    values = pl.Series(np.random.default_rng(1).integers(0, 2**62, 3000))
    table = _Whole(values)
    slots, first = np.unique(_home(table.hashes(values), table.levels[0]), return_index=True)
    assert len(slots) < len(values)
    assert (table.levels[0][slots] == first + 1).all()
    # A few tables hold all values; each of them lies in one.
    assert len(table.levels) < 8
    assert not table.rest.size
    held = np.concatenate(table.levels)
    assert sorted(held[held > 0]) == list(range(1, 3001))


@pytest.mark.parametrize("values", [list(range(30)), [f"v{n}" for n in range(30)]])
def test_values_of_one_hash_are_told_apart(values):
    others = [99, -3] if isinstance(values[0], int) else ["x", ""]
    kind = _Whole if isinstance(values[0], int) else _Texts
    with patch.object(kind, "hashes", lambda self, keys: np.full(len(keys), 77, np.uint64)):
        assert Positions(pl.Series(values))(pl.Series([*others, *values])).to_list() == [-1, -1, *range(30)]


def test_the_value_that_stands_for_null_can_be_a_value():
    found = Positions(pl.Series([7, INT_NULL]))(pl.Series([INT_NULL, None, 7]))
    assert found.to_list() == [1, -1, 0]
    assert Positions(pl.Series([""]))(pl.Series(["", None])).to_list() == [0, -1]


@pytest.mark.parametrize("values", [pl.Series([7, INT_NULL]), pl.Series(["", "a"]), pl.Series([], dtype=pl.Int64)])
def test_null_has_an_id_of_its_own(values):
    keys = pl.concat([pl.Series([None], dtype=values.dtype), values, pl.Series([9]).cast(values.dtype)])
    ids = Positions(values, first=3, unknown=2, null=1)(keys).to_list()
    assert ids == [1, *range(3, 3 + len(values)), 2]


def test_threads_share_one_table():
    values = pl.int_range(0, 50_000, eager=True)
    find = Positions(values)
    with ThreadPoolExecutor(8) as pool:
        assert all(found.equals(values.cast(pl.Int32)) for found in pool.map(find, [values] * 8))


@pytest.mark.parametrize("dtype", [pl.Int64, pl.String])
def test_plans_with_and_without_python_give_the_same(dtype):
    values = pl.int_range(0, 40_000, eager=True).shuffle(seed=3).cast(dtype)
    keys = pl.DataFrame({"k": pl.int_range(-500, 60_000, eager=True).cast(dtype).shuffle(seed=4)}).lazy()
    keys = pl.concat([keys, keys.select(pl.lit(None, dtype).alias("k")).head(1)])
    given = found(pl.col("k"), values, first=3, unknown=2, null=2).alias("id")
    with_it = keys.with_columns(given).collect(engine="streaming")
    without = add_ids(keys, "k", values, "id", first=3, unknown=2, ordered=True).collect(engine="streaming")
    assert with_it.equals(without)
    assert with_it["id"].max() == 40_002
