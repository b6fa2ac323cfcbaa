"""Hashes and lookups against an independent implementation, by every way they can be computed."""

from __future__ import annotations

from unittest.mock import patch

import mmh3
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.schema import DType
from etl.values.hashing import add_bucket, add_cross, fmix64, murmur3
from etl.values.lookup import add_ids


def reference(value: int) -> int:
    h = value % 2**64
    h = ((h ^ (h >> 33)) * 0xFF51AFD7ED558CCD) % 2**64
    h = ((h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53) % 2**64
    return h ^ (h >> 33)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_fmix64(values):
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Int64})
    assert frame.select(fmix64(pl.col("x")))["x"].to_list() == [reference(value) for value in values]


@given(st.lists(st.none() | st.text(max_size=20), max_size=20))
def test_murmur3(values):
    expected = [None if value is None else mmh3.hash(value.encode(), signed=False) for value in values]
    assert murmur3(pl.Series(values, dtype=pl.String)).to_list() == expected


def test_strings_hashed_by_the_host_and_joined_are_the_same():
    frame = pl.LazyFrame({"x": ["b", None, "a", "é", "b"], "row": range(5)})
    in_plan = add_bucket(frame, "x", DType.STRING, "h", buckets=1000).collect()
    joined = add_bucket(frame, "x", DType.STRING, "h", buckets=1000, collect=pl.collect_all).collect()
    assert joined.sort("row").equals(in_plan)
    assert in_plan.columns == ["x", "row", "h"]
    assert in_plan["h"].dtype == pl.Int32


def test_buckets_are_even():
    frame = pl.DataFrame({"x": range(10_000)}).lazy()
    counts = add_bucket(frame, "x", DType.INT64, "h", buckets=10).group_by("h").len().collect()["len"]
    # 1000 expected in each, with a standard deviation of 30.
    assert counts.len() == 10
    assert counts.is_between(850, 1150).all()


@pytest.mark.parametrize("small", [0, 300_000])
@pytest.mark.parametrize("ordered", [True, False])
def test_a_lookup_by_plan_equals_one_by_join(small, ordered):
    frame = pl.LazyFrame({"k": [7, None, 1, 99, 7], "row": range(5)})
    with patch("etl.values.lookup.SMALL", small):
        plan = add_ids(frame, "k", pl.Series([7, 5, 1]), "id", first=3, unknown=2, ordered=ordered)
    assert ("JOIN" in plan.explain()) == (small == 0)
    made = plan.collect()
    found = made if ordered else made.sort("row")
    assert found["id"].to_list() == [3, 2, 5, 2, 3]
    assert found.schema == {"k": pl.Int64, "row": pl.Int64, "id": pl.Int32}


def test_a_large_vocabulary_keeps_the_order_of_rows():
    keys = pl.Series("k", range(400_000)).shuffle(seed=1)
    frame = pl.LazyFrame({"k": keys})
    values = pl.Series(range(399_999))
    made = add_ids(frame, "k", values, "id", first=3, unknown=2, ordered=True).collect(engine="streaming")
    expected = keys.replace({399_999: -1}) + 3
    assert made["id"].to_list() == expected.cast(pl.Int32).to_list()


def test_an_empty_vocabulary():
    frame = pl.LazyFrame({"k": ["a", None]})
    values = pl.Series([], dtype=pl.String)
    assert add_ids(frame, "k", values, "id", first=3, unknown=2, ordered=True).collect()["id"].to_list() == [2, 2]


def test_a_cross_by_hand():
    frame = pl.LazyFrame({"a": [5, 5, None, None], "b": ["x", None, "x", None]})
    keys, dtypes = ["a", "b"], [DType.INT64, DType.STRING]
    made = add_cross(frame, keys, dtypes, "h", buckets=10**6).collect()
    expected = []
    for a, b in zip(made["a"], made["b"], strict=True):
        code = 2**63 if b is None else mmh3.hash(b.encode(), signed=False)
        expected.append(reference_bits(reference_bits(2**63 if a is None else a) ^ code) % 10**6)
    assert made["h"].to_list() == expected
    assert made.columns == ["a", "b", "h"]
    # The order of columns matters, and null is not 0.
    other = add_cross(frame, keys[::-1], dtypes[::-1], "h", buckets=10**6).collect()
    assert (other["h"] != made["h"]).to_list() == [True, True, True, False]
    joined = add_cross(frame.with_row_index(), keys, dtypes, "h", buckets=10**6, collect=pl.collect_all).collect()
    assert joined.sort("index").drop("index").equals(made)


def reference_bits(h: int) -> int:
    """The finalizer on the 64 bits of an integer."""
    return reference(h if h < 2**63 else h - 2**64)
