"""Categorify: settings by column, groups, given vocabularies, one space of ids, lists; planted answers."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from core.errors import UserError
from core.schema import Column, DType, Tag
from etl.fitted import Fitted
from etl.ops import Categorify, SplitText
from etl.ops.vocabularies import rank
from etl.workflow import Workflow

CITY = ["b", "a", "b", "c", "b", "a", None]
"""b three times, a twice, c once."""


def fit(columns, operator, frame) -> Fitted:
    return Workflow(columns >> operator).fit(pl.DataFrame(frame))


def ids(fitted: Fitted, **columns) -> dict[str, list]:
    return fitted.transform(pl.DataFrame(columns)).collect().to_dict(as_series=False)


class TestByColumn:
    def test_each_setting(self):
        operator = Categorify(freq_threshold={"x": 2}, max_size={"y": 4}, num_buckets={"z": 3})
        fitted = fit(["x", "y", "z"], operator, {"x": CITY, "y": CITY, "z": CITY})
        made = ids(fitted, x=["b", "a", "c"], y=["b", "a", "c"], z=["b", "a", "c"])
        assert made == {"x": [3, 4, 2], "y": [3, 2, 2], "z": [5, 6, 7]}
        assert [column.cardinality for column in fitted.schema] == [5, 4, 8]

    def test_threshold_and_size_together(self):
        fitted = fit(["x"], Categorify(freq_threshold=2, max_size=4), {"x": CITY})
        assert ids(fitted, x=["b", "a", "c"]) == {"x": [3, 2, 2]}
        fitted = fit(["x"], Categorify(freq_threshold=2, max_size=9), {"x": CITY})
        assert ids(fitted, x=["b", "a", "c"]) == {"x": [3, 4, 2]}

    def test_size_counts_the_buckets(self):
        fitted = fit(["x"], Categorify(max_size=6, num_buckets=3), {"x": CITY})
        assert fitted.schema["x"].cardinality == 6
        assert ids(fitted, x=["b"]) == {"x": [5]}
        rest = ids(fitted, x=["a", "c", "new"])["x"]
        assert set(rest) <= {2, 3, 4}

    def test_a_setting_must_name_a_column(self):
        with pytest.raises(UserError, match="freq_threshold names cty.*did you mean city"):
            fit(["city"], Categorify(freq_threshold={"cty": 2}), {"city": CITY})

    @pytest.mark.parametrize(
        "settings",
        [
            {"max_size": 3},
            {"max_size": {"x": 4}, "num_buckets": {"x": 2}},
            {"num_buckets": 0},
            {"freq_threshold": -1},
            {"freq_threshold": {"x": -1}},
            {"freq_threshold": "many"},
            {"encode_type": "sum"},
            {"dtype": "float32"},
        ],
    )
    def test_wrong_numbers(self, settings):
        with pytest.raises(ValidationError) as caught:
            Categorify(**settings)
        assert caught.value.error_count() == 1

    @pytest.mark.parametrize(
        "name",
        ["out_path", "cat_cache", "on_host", "tree_width", "split_out", "split_every", "cardinality_memory_limit"],
    )
    def test_what_only_nvtabular_has_is_refused_with_the_reason(self, name):
        with pytest.raises(ValidationError, match=f"{name} has no meaning here: .*leave it out") as caught:
            Categorify(**{name: 1})
        assert caught.value.errors()[0]["loc"] == (name,)


@pytest.mark.parametrize(
    "settings", [{"vocabs": {"x": [1]}}, {"single_table": True}, {"freq_threshold": 2, "max_size": 9}]
)
def test_what_nvtabular_does_wrongly_is_not_asked_of_it(settings):
    with pytest.raises(UserError, match="column x: NVTabular .*etl.engine: cpu"):
        Categorify(**settings).nvtabular([Column("x", DType.INT64)])


class TestGroups:
    FRAME = pl.DataFrame({"a": ["x", "y", "x", None], "b": ["y", "y", None, "q"], "c": [1, 1, 2, 2]})

    def test_joint_columns_share_a_vocabulary(self):
        fitted = fit([["a", "b"], "c"], Categorify(), self.FRAME)
        made = ids(fitted, a=["x", "y", "q", None], b=["x", "y", "q", "new"], c=[1, 2, 3, None])
        assert made == {"a": [4, 3, 5, 1], "b": [4, 3, 5, 2], "c": [3, 4, 2, 1]}
        assert fitted.schema["a"].cardinality == fitted.schema["b"].cardinality == 6
        assert fitted.schema["a"].properties["domain"] == {"name": "a_b"}
        assert fitted.schema["c"].properties == {}

    def test_settings_of_a_group_by_its_name_or_by_a_column(self):
        for name in ("a_b", "a", "b"):
            fitted = fit([["a", "b"]], Categorify(freq_threshold={name: 2}), self.FRAME)
            assert ids(fitted, a=["y", "x", "q"], b=["y", "x", "q"]) == {"a": [3, 4, 2], "b": [3, 4, 2]}
        with pytest.raises(UserError, match="one number for columns of one vocabulary, got a: 2, b: 3"):
            fit([["a", "b"]], Categorify(freq_threshold={"a": 2, "b": 3}), self.FRAME)

    def test_combinations_are_null_only_if_all_parts_are(self):
        fitted = fit([["a", "b"], "c"], Categorify(encode_type="combo"), self.FRAME)
        assert fitted.schema.names == ("c", "a_b")
        made = ids(fitted, a=[None, "x", "x", "y", None, "q"], b=["q", None, "y", "y", None, "x"], c=[1] * 6)
        # Null comes first among parts; each combination occurs once.
        assert made["a_b"] == [3, 4, 5, 6, 1, 2]
        assert fitted.schema["a_b"].cardinality == 7

    def test_the_most_frequent_combination_is_first(self):
        frame = {"a": [1, 1, 2, 2, 2], "b": ["x", "x", "x", "y", "x"]}
        fitted = fit([["a", "b"]], Categorify(encode_type="combo", name_sep="x", freq_threshold=2), frame)
        assert ids(fitted, a=[1, 2, 2], b=["x", "x", "y"]) == {"axb": [3, 4, 2]}

    def test_combinations_start_behind_the_buckets(self):
        fitted = fit(
            [["a", "b"]], Categorify(encode_type="combo", num_buckets=4), {"a": [1, 1, 2], "b": ["x", "x", "y"]}
        )
        made = ids(fitted, a=[1, 2, 1, None], b=["x", "y", "y", None])["a_b"]
        assert [*made[:2], made[3]] == [6, 7, 1]
        assert made[2] in range(2, 6)

    def test_a_column_can_be_part_of_several_combinations(self):
        fitted = fit([["a", "b"], ["b", "c"]], Categorify(encode_type="combo"), self.FRAME)
        assert fitted.schema.names == ("a_b", "b_c")

    def test_only_some_outputs(self):
        fitted = fit([["a", "b"], ["b", "c"]], Categorify(encode_type="combo"), self.FRAME)
        rows = pl.DataFrame({"b": ["y"], "c": [1]})
        assert fitted.inputs_of(["b_c"]) == ("b", "c")
        assert fitted.transform(rows, ["b_c"]).collect().to_dict(as_series=False) == {"b_c": [3]}

    def test_a_column_alone_and_in_combinations(self):
        fitted = fit(["a", ["a", "b"], ["b", "c"]], Categorify(encode_type="combo"), self.FRAME)
        assert set(fitted.schema.names) == {"a", "a_b", "b_c"}
        whole = fitted.transform(self.FRAME).collect()
        for name, needs in {"a": ("a",), "a_b": ("a", "b"), "b_c": ("b", "c")}.items():
            assert fitted.inputs_of([name]) == needs
            assert fitted.transform(self.FRAME.select(needs), [name]).collect()[name].equals(whole[name])

    def test_parts_in_the_order_of_the_group(self):
        frame = self.FRAME.select("b", "a")
        one = fit([["a", "b"]], Categorify(encode_type="combo"), frame)
        other = Workflow(["b", "a"] >> Categorify(encode_type="combo", groups=[["a", "b"]])).fit(frame)
        assert one.transform(frame).collect().equals(other.transform(frame).collect())

    def test_wrong_groups(self):
        with pytest.raises(UserError, match="must hold values of one kind, got a string, c int64"):
            fit([["a", "c"]], Categorify(), self.FRAME)
        with pytest.raises(UserError, match="column b: a column can share only one vocabulary"):
            fit([["a", "b"], ["b", "c"]], Categorify(), self.FRAME)
        with pytest.raises(UserError, match="column b: lists can't be part"):
            fit([["a", "b"]], Categorify(encode_type="combo"), {"a": [1], "b": [[1]]})

    def test_the_tags_of_a_combination_are_those_of_all_parts(self):
        tags = {"a": {Tag.USER, Tag.USER_ID}, "b": {Tag.USER}}
        workflow = Workflow([["a", "b"]] >> Categorify(encode_type="combo"), tags=tags)
        assert workflow.fit(self.FRAME).schema["a_b"].tags == {Tag.USER, Tag.CATEGORICAL}


class TestGiven:
    def test_unknown_values_with_buckets(self):
        """NVTabular #1857: the ids of a given vocabulary start behind all buckets, and unknown values lie in them."""
        fitted = fit(["x"], Categorify(vocabs={"x": pl.Series(["z", "x"])}, num_buckets=4), {"x": CITY})
        assert ids(fitted, x=["z", "x", None]) == {"x": [6, 7, 1]}
        unknown = ids(fitted, x=[str(n) for n in range(50)])["x"]
        assert set(unknown) == {2, 3, 4, 5}
        assert fitted.schema["x"].cardinality == 8

    def test_the_rows_teach_nothing(self):
        fitted = fit(["x", "y"], Categorify(vocabs={"x": ["q"]}), {"x": CITY, "y": CITY})
        assert ids(fitted, x=["q", "b"], y=["q", "b"]) == {"x": [3, 2], "y": [2, 3]}

    def test_by_group_and_from_arrays(self):
        operator = Categorify(vocabs={("a", "b"): np.array([7, 5])})
        fitted = fit([["a", "b"]], operator, {"a": [1, 2], "b": [5, 7]})
        assert ids(fitted, a=[5, 1], b=[7, 5]) == {"a": [4, 2], "b": [3, 4]}

    def test_nulls_are_left_out(self):
        fitted = fit(["x"], Categorify(vocabs={"x": [None, "a", float("nan"), "b"]}), {"x": CITY})
        assert ids(fitted, x=["a", "b", None]) == {"x": [3, 4, 1]}

    @pytest.mark.parametrize(
        ("values", "told"),
        [
            (["a", "b", "a"], "column x: the vocabulary holds 'a' more than once; give each value once"),
            ([1, 2], "column x: the given vocabulary must hold texts, got 1"),
            (["a", ""], "column x: the given vocabulary must hold texts, got ''"),
        ],
    )
    def test_wrong_values(self, values, told):
        with pytest.raises(UserError) as caught:
            fit(["x"], Categorify(vocabs={"x": values}), {"x": CITY})
        assert told in str(caught.value)

    def test_too_many(self):
        with pytest.raises(UserError, match="column x: the given vocabulary has 3 values, and max_size leaves 2"):
            fit(["x"], Categorify(vocabs={"x": ["a", "b", "c"]}, max_size=5), {"x": CITY})

    def test_an_update_leaves_it(self):
        fitted = fit(["x", "y"], Categorify(vocabs={"x": ["q"]}), {"x": CITY, "y": CITY})
        later = fitted.update(pl.DataFrame({"x": ["new"], "y": ["new"]}))
        assert ids(later, x=["q", "new"], y=["b", "new"]) == {"x": [3, 2], "y": [3, 6]}

    def test_combinations_take_no_values(self):
        with pytest.raises(UserError, match="column a_b: values can't be given for a combination"):
            fit([["a", "b"]], Categorify(encode_type="combo", vocabs={"a_b": ["x"]}), {"a": ["x"], "b": ["y"]})


class TestOneSpace:
    FRAME = pl.DataFrame({"x": ["a", "b", "a", None], "y": [5, 5, 7, 9]})

    def test_one_behind_the_other(self):
        fitted = fit(["x", "y"], Categorify(single_table=True, num_buckets={"y": 2}), self.FRAME)
        # x: null 1, unknown 2, a 3, b 4; y: null 5, unknown 6 and 7, then 5, 7, 9.
        made = ids(fitted, x=[None, "new", "a", "b"], y=[None, 5, 7, 9])
        assert made == {"x": [1, 2, 3, 4], "y": [5, 8, 9, 10]}
        assert ids(fitted, x=["a"] * 3, y=[1, 2, 3])["y"] == pytest.approx([6.5] * 3, abs=0.5)
        assert [column.cardinality for column in fitted.schema] == [11, 11]

    def test_an_update_moves_no_id(self):
        fitted = fit(["x", "y"], Categorify(single_table=True), self.FRAME)
        before = ids(fitted, x=["a", "b", "c", None], y=[5, 7, 9, 1])
        assert before == {"x": [3, 4, 2, 1], "y": [7, 8, 9, 6]}
        later = fitted.update(pl.DataFrame({"x": ["c", "d"], "y": [1, 1]}))
        after = ids(later, x=["a", "b", "c", None, "d", "new"], y=[5, 7, 9, 1, None, 2])
        assert after == {"x": [3, 4, 10, 1, 11, 2], "y": [7, 8, 9, 12, 5, 6]}
        assert [column.cardinality for column in later.schema] == [13, 13]
        again = later.update(pl.DataFrame({"x": ["e"], "y": [5]}))
        assert ids(again, x=["e", "d"], y=[1, 5]) == {"x": [13, 11], "y": [12, 7]}


class TestType:
    @pytest.mark.parametrize("dtype", ["int64", np.int64, np.dtype("int64")])
    def test_as_it_is_asked_for(self, dtype):
        fitted = fit(["x"], Categorify(dtype=dtype), {"x": CITY})
        assert fitted.transform(pl.DataFrame({"x": CITY})).collect().schema == {"x": pl.Int64}
        assert fitted.schema["x"].dtype == "int64"

    def test_ids_that_do_not_fit_are_refused(self):
        with pytest.raises(UserError, match="column x: dtype int8 holds no id 302, .*; set a wider dtype"):
            fit(["x"], Categorify(dtype="int8"), {"x": list(range(300))}).schema  # noqa: B018


class TestLists:
    FRAME = pl.DataFrame({"x": [["b", "a"], None, [], ["b", None, ""], ["c"]]})

    def test_each_element_has_its_id(self):
        fitted = Workflow(["x"] >> Categorify()).fit(self.FRAME)
        assert ids(fitted, x=[["b", "a"], None, [], ["b", None, ""], ["c", "new"]]) == {
            "x": [[3, 4], [], [], [3, 1, 1], [5, 2]]
        }
        assert fitted.schema["x"].is_list
        assert not fitted.schema["x"].nullable
        assert fitted.schema["x"].cardinality == 6

    def test_buckets_and_threshold(self):
        fitted = Workflow(["x"] >> Categorify(freq_threshold=2, num_buckets=3)).fit(self.FRAME)
        made = ids(fitted, x=[["b"], ["a", "c", "new", None]])["x"]
        assert made[0] == [5]
        assert made[1][3] == 1
        assert set(made[1][:3]) <= {2, 3, 4}
        alone = Workflow(["y"] >> Categorify(freq_threshold=2, num_buckets=3)).fit(pl.DataFrame({"y": ["b", "b"]}))
        assert ids(alone, y=["a", "c", "new"])["y"] == made[1][:3]

    def test_a_list_and_a_column_share_a_vocabulary(self):
        frame = pl.DataFrame({"item": [1, 2, 3], "seen": [[], [1], [1, 2]]})
        fitted = Workflow([["item", "seen"]] >> Categorify()).fit(frame)
        assert ids(fitted, item=[1, 2, 3], seen=[[3, 2], [9], [1]]) == {"item": [3, 4, 5], "seen": [[5, 4], [2], [3]]}

    def test_rows_between_empty_lists_stay_in_place(self):
        """NVTabular moves rows when its frame has another index than 0 .. n-1."""
        rows = [[str(n)] * (n % 4) for n in range(1000)]
        fitted = Workflow(["x"] >> Categorify()).fit(pl.DataFrame({"x": rows}))
        made = ids(fitted, x=rows[500:])["x"]
        assert [len(one) for one in made] == [len(one) for one in rows[500:]]
        assert all(len(set(one)) <= 1 for one in made)

    def test_an_update_of_lists(self):
        fitted = Workflow(["x"] >> Categorify()).fit(self.FRAME).update(pl.DataFrame({"x": [["d"], ["d", "b"], None]}))
        assert ids(fitted, x=[["a", "b", "c", "d"]]) == {"x": [[4, 3, 5, 6]]}

    def test_words_of_a_text(self):
        frame = pl.DataFrame({"genres": ["Drama|War", "Drama", None, "War|Drama|Comedy"]})
        fitted = Workflow(["genres"] >> SplitText("|") >> Categorify()).fit(frame)
        assert ids(fitted, genres=["Drama|Comedy", None, "Horror"]) == {"genres": [[3, 5], [], [2]]}
        settings = Categorify(groups=[["genres_0", "genres_1"]])
        columns = Workflow(["genres"] >> SplitText("|", max_values=2) >> settings).fit(frame)
        assert ids(columns, genres=["War|Drama", "Drama"]) == {"genres_0": [4, 3], "genres_1": [3, 1]}


@pytest.mark.parametrize("keys", [["value"], ["value_0", "value_1"]])
def test_counts_in_any_order_give_one_vocabulary(keys: list[str]) -> None:
    counts = pl.DataFrame({**{key: [f"v{n}" for n in range(40)] for key in keys}, "count": [n % 5 for n in range(40)]})
    first = rank(counts, threshold=3, most=9)
    for seed in range(3):
        again = rank(counts.sample(fraction=1.0, shuffle=True, seed=seed), threshold=3, most=9)
        assert again.known.equals(first.known)
        assert again.rare.equals(first.rare)
    assert first.known["count"].to_list() == [4] * 8 + [3]
    assert first.rare["count"].to_list() == [3] * 7 + [2] * 8 + [1] * 8 + [0] * 8
