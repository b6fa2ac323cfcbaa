"""Values counted by sorting, beside the grouping that other engines run."""

from __future__ import annotations

from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from etl.engines import CpuEngine, counts
from etl.values.counting import COUNT, VALUE, Counting, added, count_runs, ranked

WHOLE = st.none() | st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1)


def grouped(counting):
    table = counting.plan().collect().with_columns(pl.col(COUNT).cast(pl.Int64))
    return table.sort(COUNT, VALUE, descending=[True, False])


@given(st.lists(WHOLE, max_size=60))
def test_runs_in_order_are_a_grouping(keys):
    frame = pl.DataFrame({"x": keys}, schema={"x": pl.Int64})
    assert_frame_equal(ranked(count_runs(frame["x"])), grouped(Counting(frame.lazy(), pl.col("x"))))


@given(st.lists(st.lists(WHOLE, max_size=20), min_size=1, max_size=6))
def test_parts_add_up_to_the_whole(parts):
    made = [count_runs(pl.Series(part, dtype=pl.Int64)) for part in parts]
    # A sum of parts can be a part again.
    found = added([added(made[:2]), *made[2:]])
    whole = count_runs(pl.Series([key for part in parts for key in part], dtype=pl.Int64))
    assert_frame_equal(ranked(found), ranked(whole))


def test_counts_beyond_16_bits_come_first():
    counts = pl.DataFrame({VALUE: [4, 9, 2, 7, 5], COUNT: [65_534, 65_535, 70_000, 65_535, 1]})
    assert ranked(counts)[VALUE].to_list() == [2, 7, 9, 4, 5]
    texts = counts.with_columns(pl.col(VALUE).cast(pl.String))
    assert ranked(texts)[VALUE].to_list() == ["2", "7", "9", "4", "5"]


@pytest.mark.parametrize("held", [1, 256 << 20])
@pytest.mark.parametrize("longest", [40, 1 << 26])
def test_the_engine_counts_in_groups_and_parts(held, longest):
    rows = 1000
    columns = {
        name: [None if (n * k) % 7 == 0 else (n * k) % 300 for n in range(rows)] for k, name in enumerate("abc", 1)
    }
    frame = pl.DataFrame({**columns, "text": [str(n % 9) for n in range(rows)]}).lazy()
    asked = [Counting(frame, pl.col(name)) for name in ("a", "text", "b", "c")]
    with (
        patch("etl.engines.counts.HELD", held),
        patch("etl.engines.counts.LONGEST", longest),
        patch("etl.engines.counts._count_long", wraps=counts._count_long) as in_parts,
    ):
        first, *found = CpuEngine().compute([frame.select(pl.len()), *asked])
    assert in_parts.call_count == (3 if rows > longest else 0)
    assert first.item() == rows
    for one, counting in zip(found, asked, strict=True):
        table = one.with_columns(pl.col(COUNT).cast(pl.Int64))
        assert_frame_equal(table, grouped(counting), check_row_order=counting.key.meta.output_name() != "text")


@given(st.lists(st.lists(WHOLE, max_size=9), max_size=9))
def test_a_long_column_is_counted_batch_by_batch(batches):
    class Column:
        def collect_batches(self, **_):
            return (pl.DataFrame({"x": batch}, schema={"x": pl.Int64}) for batch in batches if batch)

    whole = pl.LazyFrame({"x": [key for batch in batches for key in batch]}, schema={"x": pl.Int64})
    with patch("etl.engines.counts.LONGEST", 10):
        assert_frame_equal(counts._count_long(Column()), grouped(Counting(whole, pl.col("x"))))


def test_few_parts_of_a_long_column_are_held_at_once():
    done = []
    for value in range(64):
        counts._put(done, count_runs(pl.Series([value])))
        assert len(done) <= 7
    assert added(done)[VALUE].to_list() == list(range(64))


@pytest.mark.parametrize(("fitting", "groups"), [(1, [[0], [1], [3]]), (2, [[0, 1], [3]]), (9, [[0, 1, 3]])])
def test_columns_share_a_pass_as_far_as_they_fit(fitting, groups):
    frame = pl.LazyFrame({"a": [1], "b": [1], "text": ["x"], "c": [1]})
    asked = [Counting(frame, pl.col(name)) for name in frame.collect_schema()]
    with patch("etl.engines.counts.HELD", counts.AT_WORK * 8 * 1000 * fitting):
        assert [list(group.keys) for group in counts.groups_of(asked, 1000)] == groups
