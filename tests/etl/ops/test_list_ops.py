"""Operators of lists and of texts that hold several values: planted answers."""

from __future__ import annotations

import mmh3
import polars as pl
import pytest
from pydantic import ValidationError

from core.errors import UserError
from core.schema import Tag
from etl.ops import Categorify, HashBucket, HashText, ListColumns, ListSlice, Rename, SplitText, ValueCount
from etl.workflow import Workflow
from tests.contract.serving import Served, assert_same

ROWS = [[1, 2, 3, 4, 5], [6, 7], [], None, [8, None]]


def apply(operator, rows=ROWS, later=None):
    frame = pl.DataFrame({"x": rows})
    return Workflow(["x"] >> operator).fit(frame).transform(pl.DataFrame({"x": later or rows})).collect()["x"].to_list()


class TestListSlice:
    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ((2,), [[1, 2], [6, 7], [], [], [8, None]]),
            ((1, 3), [[2, 3], [7], [], [], [None]]),
            ((-2,), [[4, 5], [6, 7], [], [], [8, None]]),
            ((-3, -1), [[3, 4], [6], [], [], [8]]),
            ((0, -1), [[1, 2, 3, 4], [6], [], [], [8]]),
            ((0,), [[1, 2, 3, 4, 5], [6, 7], [], [], [8, None]]),
            ((3, 2), [[], [], [], [], []]),
            ((-4, 2), [[2], [6, 7], [], [], [8, None]]),
        ],
    )
    def test_as_python_cuts(self, settings, expected):
        assert apply(ListSlice(*settings)) == expected
        start, end = ListSlice(*settings).bounds
        assert expected == [(row or [])[start:end] for row in ROWS]

    def test_padding(self):
        """NVTabular does not pad rows that were read from Parquet."""
        assert apply(ListSlice(3, pad=True)) == [[1, 2, 3], [6, 7, 0], [0, 0, 0], [0, 0, 0], [8, None, 0]]
        assert apply(ListSlice(-3, -1, pad=True, pad_value=9)) == [[3, 4], [6, 9], [9, 9], [9, 9], [8, 9]]

    def test_padding_of_texts_and_numbers(self):
        made = apply(ListSlice(2, pad=True, pad_value="-"), [["a"], ["b", "c", "d"], None])
        assert made == [["a", "-"], ["b", "c"], ["-", "-"]]
        assert apply(ListSlice(2, pad=True, pad_value=0.5), [[1.5], None]) == [[1.5, 0.5], [0.5, 0.5]]

    @pytest.mark.parametrize(
        ("operator", "count"),
        [
            (ListSlice(4), {"min": 0, "max": 4}),
            (ListSlice(-4), {"min": 0, "max": 4}),
            (ListSlice(1, 4, pad=True), {"min": 3, "max": 3}),
            (ListSlice(-5, -2), {"min": 0, "max": 3}),
            (ListSlice(1, -1), {"min": 0}),
            (ListSlice(0), {"min": 0}),
        ],
    )
    def test_lengths_in_the_schema(self, operator, count):
        schema = Workflow(["x"] >> operator).fit(pl.DataFrame({"x": ROWS})).schema
        assert schema["x"].properties == {"value_count": count}
        assert Tag.LIST in schema["x"].tags

    def test_ids_stay_ids(self):
        frame = pl.DataFrame({"x": [["a", "b"], ["a"], None]})
        fitted = Workflow(["x"] >> Categorify() >> ListSlice(2, pad=True)).fit(frame)
        assert fitted.transform(frame).collect()["x"].to_list() == [[3, 4], [3, 0], [0, 0]]
        assert fitted.schema["x"].cardinality == 5
        with pytest.raises(UserError, match="column x: 7 is no id of the column, which has 0 .. 4"):
            Workflow(["x"] >> Categorify() >> ListSlice(2, pad=True, pad_value=7)).fit(frame)

    @pytest.mark.parametrize("rows", [[None], [[]], [[None]], []])
    def test_few_rows_behind_another_operator(self, rows):
        node = ["x"] >> Categorify() >> ListSlice(-3) >> ListColumns(2)
        fitted = Workflow(node).fit(pl.DataFrame({"x": ROWS}))
        frame = pl.DataFrame({"x": rows}, schema={"x": pl.List(pl.Int64)})
        made = fitted.transform(frame).collect()
        assert made.rows() == [(1 if row else 0, 0) for row in rows]
        assert_same(fitted, Served(fitted), frame)

    def test_wrong_settings(self):
        with pytest.raises(ValidationError, match="pad needs a largest number of elements"):
            ListSlice(1, -1, pad=True)
        with pytest.raises(UserError, match="column x: lists of int64 can't be filled up with 'a'"):
            apply(ListSlice(2, pad=True, pad_value="a"))
        with pytest.raises(UserError, match="lists of int64 can't be filled up with 0.5"):
            apply(ListSlice(2, pad=True, pad_value=0.5))
        with pytest.raises(UserError, match="lists of string can't be filled up with 0"):
            apply(ListSlice(2, pad=True), [["a"]])


class TestListColumns:
    def test_ids_and_values(self):
        frame = pl.DataFrame({"x": ROWS})
        made = Workflow(["x"] >> ListColumns(2)).fit(frame).transform(frame).collect()
        assert made.to_dict(as_series=False) == {"x_0": [1, 6, None, None, 8], "x_1": [2, 7, None, None, None]}
        fitted = Workflow(["x"] >> ListSlice(-2) >> Categorify() >> ListColumns(2)).fit(frame)
        # Null, the last element of the last row, has id 1; what isn't there is padding.
        made = fitted.transform(frame).collect()
        assert made["x_0"].to_list() == [3, 5, 0, 0, 7]
        assert made["x_1"].to_list() == [4, 6, 0, 0, 1]
        assert [column.cardinality for column in fitted.schema] == [8, 8]
        assert fitted.schema["x_0"].properties == {}
        assert fitted.schema["x_0"].tags == {Tag.CATEGORICAL}


class TestValueCount:
    def test_shortest_and_longest(self):
        frame = pl.DataFrame({"x": [[1], [2, 3, 4]]})
        fitted = Workflow(["x"] >> ValueCount()).fit(frame)
        assert fitted.schema["x"].properties == {"value_count": {"min": 1, "max": 3}}
        later = fitted.update(pl.DataFrame({"x": [[1] * 7, [1, 2]]}))
        assert later.schema["x"].properties == {"value_count": {"min": 1, "max": 7}}

    def test_a_null_list_is_empty(self):
        fitted = Workflow(["x"] >> ValueCount()).fit(pl.DataFrame({"x": [[1], None]}))
        assert fitted.schema["x"].properties == {"value_count": {"min": 0, "max": 1}}

    def test_other_properties_stay(self):
        fitted = Workflow([["x", "y"]] >> Categorify() >> ValueCount() >> Rename(postfix="_n")).fit(
            pl.DataFrame({"x": [[1]], "y": [[1, 2]]})
        )
        assert fitted.schema["y_n"].properties == {"domain": {"name": "x_y"}, "value_count": {"min": 2, "max": 2}}


class TestHashBucket:
    def test_each_element(self):
        """NVTabular hashes the number of the row along, and fails on lists."""
        alone = apply(HashBucket(100), ["a", "b", None])
        made = apply(HashBucket(100), [["b", "a", "a"], [None, ""], [], None])
        assert made == [[alone[1], alone[0], alone[0]], [0, 0], [], []]

    def test_by_column(self):
        frame = pl.DataFrame({"x": list(range(50)), "y": list(range(50))})
        fitted = Workflow(["x", "y"] >> HashBucket({"x": 3, "y": 7})).fit(frame)
        assert [column.cardinality for column in fitted.schema] == [3, 7]
        made = fitted.transform(frame).collect()
        assert (made["x"].n_unique(), made["y"].n_unique()) == (3, 7)
        with pytest.raises(UserError, match="column y: hash_bucket has no num_buckets"):
            Workflow(["x", "y"] >> HashBucket({"x": 3})).fit(frame)
        with pytest.raises(UserError, match="hash_bucket's num_buckets names z"):
            Workflow(["x", "y"] >> HashBucket({"x": 3, "y": 3, "z": 3})).fit(frame)


GENRES = ["Action|Comedy", "Drama", None, "", "|Comedy||Action|", "Comedy|Comedy"]


class TestTexts:
    def test_lists_of_texts(self):
        expected = [["Action", "Comedy"], ["Drama"], [], [], ["Comedy", "Action"], ["Comedy", "Comedy"]]
        assert apply(SplitText(), GENRES) == expected

    def test_columns_of_texts(self):
        fitted = Workflow(["x"] >> SplitText(max_values=2)).fit(pl.DataFrame({"x": GENRES}))
        rows = fitted.transform(pl.DataFrame({"x": ["a|b|c", "|a", None]})).collect()
        assert rows.to_dict(as_series=False) == {"x_0": ["a", "a", None], "x_1": ["b", None, None]}

    def test_hashes(self):
        known = {text: 1 + mmh3.hash(text.encode(), signed=False) % 9 for text in ("Action", "Comedy", "Drama")}
        action, comedy, drama = known.values()
        expected = [[action, comedy], [drama], [], [], [comedy, action], [comedy, comedy]]
        assert apply(HashText(9), GENRES) == expected
        fitted = Workflow(["x"] >> HashText(9, max_values=3)).fit(pl.DataFrame({"x": GENRES}))
        rows = fitted.transform(pl.DataFrame({"x": GENRES})).collect().rows()
        assert rows == [tuple([*row, 0, 0, 0][:3]) for row in expected]
        assert [column.cardinality for column in fitted.schema] == [10, 10, 10]
        assert fitted.schema.names == ("x_0", "x_1", "x_2")

    @pytest.mark.parametrize("separator", [", ", ".", "é", "\n", "\\", "ab", "^$", "[", " "])
    def test_any_separator(self, separator):
        frame = pl.DataFrame({"x": [separator.join(["One", "", "two", "é3"]), "One", separator, None, "aab abab."]})
        for operator in (SplitText(separator), HashText(50, separator, max_values=3)):
            fitted = Workflow(["x"] >> operator).fit(frame)
            assert_same(fitted, Served(fitted), frame)
        made = fitted.transform(frame).collect()
        assert (made[0, 0], made[2, 0]) == (made[1, 0], 0)

    def test_only_texts(self):
        with pytest.raises(UserError, match="column x: hash_text takes strings, got int64"):
            apply(HashText(5), [1, 2])
        with pytest.raises(UserError, match="column x: split_text takes single values"):
            apply(SplitText(), [["a"]])
