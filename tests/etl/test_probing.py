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
from etl.values.probing import BLOCK, MANY, Positions, _even, _Many, _Texts, _Whole

WHOLE = st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9) | st.integers(0, 99).map(lambda n: n << 56)
TEXT = st.text(max_size=3)


def expected(values: list[int] | list[str], keys: list[int | None] | list[str | None]) -> list[int]:
    places = {value: place for place, value in enumerate(values)}
    return [-1 if key is None else places.get(key, -1) for key in keys]


@given(st.lists(WHOLE, unique=True), st.lists(st.none() | WHOLE))
def test_integers(values, others):
    keys = [*others, *values, *others, *values[::-1]]
    for many in (1, 10**9):
        with patch("etl.values.probing.MANY", many):
            found = Positions(pl.Series(values, dtype=pl.Int64))(pl.Series(keys, dtype=pl.Int64))
        assert found.to_list() == expected(values, keys)


@given(st.lists(TEXT, unique=True), st.lists(st.none() | TEXT))
def test_texts(values, others):
    keys = [*others, *values, *others, *values[::-1]]
    found = Positions(pl.Series(values, dtype=pl.String))(pl.Series(keys, dtype=pl.String))
    assert found.to_list() == expected(values, keys)


@pytest.mark.parametrize(("dtype", "many"), [(pl.Int64, MANY), (pl.Int64, 0), (pl.String, MANY)])
def test_many_values_in_pieces(dtype, many):
    """More values and keys than are worked on at once, and keys that collide."""
    whole = (pl.int_range(0, 3000, eager=True) * 1024).shuffle(seed=1)
    values, others = whole.cast(dtype), (whole + 1).cast(dtype)
    with patch.multiple("etl.values.probing", BUILD=77, BLOCK=100, MANY=many):
        found = Positions(values, first=5, unknown=2)(pl.concat([values, others, values]))
    own = list(range(5, 3005))
    assert found.to_list() == [*own, *[2] * 3000, *own]


def test_the_most_frequent_value_lies_where_it_is_looked_for_first():
    values = pl.Series(np.random.default_rng(1).integers(0, 2**62, 3000))
    table = _Whole(values)
    level = table.levels[0]
    # The slot of a hash is named by its first bits.
    homes = (table.codes(values) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - 12)
    slots, first = np.unique(homes, return_index=True)
    assert len(level.slots) == 4096
    assert 1500 < len(slots) < 3000
    assert (level.slots[slots] % 4096 == first).all()
    # A few tables hold all values; each of them lies in one.
    assert len(table.levels) < 8
    assert not table.rest
    held = []
    for level in table.levels:
        numbers = level.slots[level.slots != level.empty] & level.empty
        held.append(numbers if level.positions is None else level.positions[numbers])
    assert sorted(np.concatenate(held)) == list(range(3000))


@pytest.mark.parametrize("count", [1, 3, 4])
def test_every_bit_of_a_key_counts(count):
    """Keys that share their slot, and all but one of the bits beside its number."""
    values = pl.Series([n << 40 for n in range(count)])
    keys = [value ^ (1 << bit) for value in values for bit in range(63)] + [value - 2**63 for value in values]
    found = Positions(values)(pl.Series(keys, dtype=pl.Int64))
    assert found.to_list() == expected(values.to_list(), keys)


def test_values_that_share_the_first_slot_are_spread_by_the_next_hash():
    undo = pow(0x9E3779B97F4A7C15, -1, 2**64)
    values = pl.Series([n * undo % 2**64 for n in range(5000)], dtype=pl.UInt64).cast(pl.Int64, wrap_numerical=True)
    table = _Whole(values)
    assert len(table.levels) < 9
    assert Positions(values)(values).to_list() == list(range(5000))


@pytest.mark.parametrize("kind", [_Whole, _Many, _Texts])
def test_values_for_which_no_table_had_a_slot(kind):
    values = [f"v{n}" for n in range(30)] if kind is _Texts else list(range(30))
    others = ["x", "", None] if kind is _Texts else [99, -3, None]
    with patch.multiple("etl.values.probing", MOST=1, MANY=0 if kind is _Many else MANY):
        assert kind(pl.Series(values)).rest
        assert Positions(pl.Series(values))(pl.Series([*others, *values])).to_list() == [-1, -1, -1, *range(30)]


def test_very_many_integers_take_half_the_memory():
    values = pl.Series(np.random.default_rng(1).integers(0, 2**62, 5000))
    whole, many = (sum(level.slots.nbytes for level in kind(values).levels) for kind in (_Whole, _Many))
    assert many == whole / 2
    with patch("etl.values.probing.MANY", 5000):
        assert isinstance(Positions(values)._ready(), _Many)
        assert not isinstance(Positions(values.head(4999))._ready(), _Many)


def test_texts_of_one_hash_are_told_apart():
    values = [f"v{n}" for n in range(30)]
    with patch.object(_Texts, "codes", lambda self, keys: np.full(len(keys), 77, np.uint64)):
        found = Positions(pl.Series(values))(pl.Series(["x", None, "", *values]))
        assert found.to_list() == [-1, -1, -1, *range(30)]
        assert Positions(pl.Series([], dtype=pl.String))(pl.Series(["x"])).to_list() == [-1]


@pytest.mark.parametrize("count", [0, 1, BLOCK, BLOCK + 1, 100_000, BLOCK * 3 // 2, BLOCK * 3 // 2 + 1, 10**7 + 1])
def test_blocks_are_even_and_fit_the_room(count):
    step = _even(count)
    assert 1 <= step <= BLOCK * 3 // 2
    blocks = -(-count // step)
    assert blocks * step - count < max(1, blocks)


@pytest.mark.parametrize("dtype", [pl.Int64, pl.String])
def test_keys_out_of_the_middle_of_a_column_and_in_chunks(dtype):
    values = pl.Series(range(100)).cast(dtype)
    keys = pl.Series([None if n % 7 == 3 else n for n in range(200)]).cast(dtype)
    whole = Positions(values)(keys)
    for start in (1, 7, 8, 13):
        assert Positions(values)(keys.slice(start, 50)).equals(whole.slice(start, 50))
    chunks = pl.concat([keys.slice(3, 20), keys.slice(50, 9)], rechunk=False)
    assert chunks.n_chunks() == 2
    assert Positions(values)(chunks).to_list() == [*whole.slice(3, 20), *whole.slice(50, 9)]


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
