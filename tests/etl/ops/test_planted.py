"""Each operator on rows whose right answer is worked out by hand from its documented meaning."""

from __future__ import annotations

import datetime as dt
import math

import mmh3
import numpy as np
import polars as pl
import pytest

from core.schema import DType, Tag
from etl import Workflow
from etl.engines.cpu import CpuEngine
from etl.ops import (
    Bucketize,
    Categorify,
    Clip,
    FillMedian,
    FillMissing,
    Formula,
    HashBucket,
    LambdaOp,
    LogOp,
    Normalize,
    NormalizeMinMax,
    Rename,
)
from etl.ops.base import Operator
from tests.contract.operators import GpuLikeEngine


def apply(operator: Operator, train: list, rows: list | None = None) -> list:
    """Fit on one column and transform rows of it."""
    frame = pl.DataFrame({"x": train})
    fitted = Workflow(["x"] >> operator).fit(frame)
    made = fitted.transform(frame if rows is None else pl.DataFrame({"x": rows}, schema=frame.schema)).collect()
    return made["x"].to_list()


class TestCategorify:
    def test_ids_start_at_three_by_count_then_value(self):
        # c occurs 3 times; a and b twice each, so a comes first; d once.
        train = ["d", "b", "c", "a", "c", "b", "a", "c", None]
        assert apply(Categorify(), train, ["c", "a", "b", "d", "new", None]) == [3, 4, 5, 6, 2, 1]

    def test_integers_order_ties_by_number_not_by_text(self):
        assert apply(Categorify(), [10, 9, -1, 10, 9]) == [4, 3, 5, 4, 3]

    def test_strings_order_ties_by_bytes_of_utf8(self):
        assert apply(Categorify(), ["é", "z", "Z", "a"]) == [6, 5, 3, 4]

    def test_threshold_keeps_what_occurs_as_often(self):
        assert apply(Categorify(freq_threshold=2), [1, 1, 2, 2, 3]) == [3, 3, 4, 4, 2]

    def test_max_size_counts_the_reserved_ids(self):
        # 5 ids in all: padding, null, out of vocabulary, and the two most frequent values.
        assert apply(Categorify(max_size=5), [7, 7, 7, 8, 8, 9]) == [3, 3, 3, 4, 4, 2]

    def test_buckets_come_before_the_vocabulary(self):
        train = ["a", "a", "b", "c", None]
        buckets = [2 + mmh3.hash(value, signed=False) % 4 for value in ("b", "c", "new")]
        assert apply(Categorify(freq_threshold=2, num_buckets=4), train, ["a", "b", "c", "new", None]) == [
            6,
            *buckets,
            1,
        ]

    def test_cardinality_and_width(self):
        frame = pl.DataFrame({"x": ["a", "b", None], "y": range(3)})
        fitted = Workflow(["x", "y"] >> Categorify(num_buckets=5)).fit(frame)
        # 2 reserved + 5 buckets + the vocabulary; widths by min(max(16, round(1.6 n^0.56)), 512).
        assert [column.cardinality for column in fitted.schema] == [9, 10]
        assert fitted.schema["x"].embedding_dim == 16
        assert fitted.schema["x"].dtype == DType.INT32

    def test_width_of_a_large_vocabulary(self):
        fitted = Workflow(["x"] >> Categorify()).fit(pl.DataFrame({"x": range(5000)}))
        assert fitted.schema["x"].embedding_dim == round(1.6 * 5003**0.56) == 189

    def test_empty_text_is_null(self):
        assert apply(Categorify(), ["", "", "", "a", None]) == [1, 1, 1, 3, 1]

    def test_whole_floats_are_integers(self):
        assert apply(Categorify(), [7.0, 7.0, 3.0, None, math.nan], [3.0, 7.0, 3.5, math.inf, math.nan]) == [
            4,
            3,
            2,
            2,
            1,
        ]

    def test_dates(self):
        day = dt.date(2026, 11, 23)
        assert apply(Categorify(), [day, None, day, dt.date(1969, 1, 1)]) == [3, 1, 3, 4]

    def test_columns_are_encoded_separately(self):
        frame = pl.DataFrame({"x": ["a", "b", "b"], "y": ["b", "a", "a"]})
        made = Workflow(["x", "y"] >> Categorify()).fit(frame).transform(frame).collect()
        assert made.rows() == [(4, 4), (3, 3), (3, 3)]

    def test_nothing_frequent_enough_leaves_an_empty_vocabulary(self):
        assert apply(Categorify(freq_threshold=9), ["a", "b", None]) == [2, 2, 1]


class TestFill:
    def test_missing(self):
        assert apply(FillMissing(-1), [1.5, None, math.nan]) == [1.5, -1.0, -1.0]
        assert apply(FillMissing(0.5), [1, None, 3]) == [1.0, 0.5, 3.0]

    def test_missing_keeps_integers_exact(self):
        frame = pl.DataFrame({"x": [2**60 + 1, None, 2**60 + 1]})
        fitted = Workflow(["x"] >> FillMissing(0) >> Categorify()).fit(frame)
        assert fitted.transform(frame).collect()["x"].to_list() == [3, 4, 3]
        assert fitted.steps[1].state.by_column["x"]["value"].to_list() == [2**60 + 1, 0]

    def test_missing_text(self):
        frame = pl.DataFrame({"x": ["a", "", None]})
        node = ["x"] >> FillMissing("unknown")
        assert Workflow(node).fit(frame).transform(frame).collect()["x"].to_list() == ["a", "unknown", "unknown"]

    def test_flags(self):
        frame = pl.DataFrame({"x": [3, None]})
        made = Workflow(["x"] >> FillMissing(7, add_binary_cols=True)).fit(frame).transform(frame).collect()
        assert made.rows(named=True) == [{"x": 3.0, "x_filled": 0.0}, {"x": 7.0, "x_filled": 1.0}]

    @pytest.mark.parametrize(
        ("train", "median"), [([1, 2, 100, None], 2.0), ([4, 1, 3, 2, None], 2.5), ([5.5, None], 5.5)]
    )
    def test_median(self, train, median):
        assert apply(FillMedian(), train, [None]) == [median]

    @pytest.mark.parametrize("rows", [1, 2, 3, 1000, 1001])
    def test_median_of_many(self, rows):
        """As numpy tells it, whether plans may hold Python or not, whatever lies in the middle bins."""
        draw = np.random.default_rng(rows)
        made = {
            "wide": np.exp(30 * draw.standard_normal(rows)) * draw.choice([-1, 1], rows),
            "ties": draw.integers(0, 3, rows) / 10,
            "narrow": 100 + draw.random(rows) / 1000,
            "far": draw.choice([-1e300, 5e299, 1e300], rows),
        }
        engines = (CpuEngine(), GpuLikeEngine())
        states = [Workflow([*made] >> FillMedian()).fit(pl.DataFrame(made), one).steps[0].state for one in engines]
        assert states[0].median == states[1].median == {name: np.median(values) for name, values in made.items()}
        for name in made:
            assert states[0].sketches[name].equals(states[1].sketches[name])


class TestNumbers:
    def test_clip(self):
        assert apply(Clip(min=1, max=3), [0, 1, 2, 3, 4, None]) == [1, 1, 2, 3, 3, None]

    def test_clip_holds_infinity(self):
        assert apply(Clip(max=3), [math.inf, -math.inf]) == [3.0, -math.inf]

    def test_log(self):
        made = apply(LogOp(), [0.0, math.e - 1, -0.5, -1.0, -2.0, None])
        assert made[:3] == [0.0, pytest.approx(1.0, abs=1e-7), pytest.approx(-0.6931472, abs=1e-7)]
        assert made[3:] == [None, None, None]

    def test_normalize_uses_the_sample_deviation(self):
        # mean 3, squares 4 + 1 + 0 + 1 + 4 = 10, over n - 1 = 4: deviation sqrt(2.5).
        made = apply(Normalize(), [1.0, 2.0, 3.0, 4.0, 5.0, None], [3.0, 3.0 + math.sqrt(2.5), None])
        assert made == [0.0, pytest.approx(1.0, rel=1e-6), None]

    def test_normalize_of_a_constant_is_zero_exactly(self):
        assert apply(Normalize(), [0.1] * 7) == [0.0] * 7
        assert apply(Normalize(), [0.1] * 7, [1.1]) == [pytest.approx(1.0)]

    def test_normalize_far_from_zero(self):
        # A sum of squares would lose the deviation: 1e9 squared leaves no digit for it.
        made = apply(Normalize(), [1e9 - 1, 1e9, 1e9 + 1])
        assert made == [pytest.approx(-1.0), pytest.approx(0.0), pytest.approx(1.0)]

    def test_normalize_of_values_whose_squares_vanish(self):
        assert apply(Normalize(), [1e-200, 3e-200]) == [0.0, 0.0]

    def test_normalize_learns_the_same_from_any_order_of_many_rows(self):
        values = pl.DataFrame({"x": [math.sin(n) * 10 ** (n % 7) + 1e4 for n in range(20_000)]})
        learned = [
            Workflow(["x"] >> Normalize()).fit(values.sample(fraction=1.0, shuffle=True, seed=seed)).steps[0].state
            for seed in range(8)
        ]
        assert all(state == learned[0] for state in learned)

    def test_min_max(self):
        assert apply(NormalizeMinMax(), [2, 6, None], [2, 4, 6, 10, None]) == [0.0, 0.5, 1.0, 2.0, None]

    def test_min_max_of_a_constant_is_zero(self):
        assert apply(NormalizeMinMax(), [5, 5, None], [5, 9, None]) == [0.0, 0.0, None]

    def test_bucketize_puts_an_edge_into_the_upper_bucket(self):
        assert apply(Bucketize([0, 10]), [-1.0, 0.0, 9.5, 10.0, 11.0, None]) == [0, 1, 1, 2, 2, 2]

    def test_bucketize_by_column(self):
        frame = pl.DataFrame({"x": [5], "y": [5]})
        fitted = Workflow(["x", "y"] >> Bucketize({"x": [1, 2, 3], "y": [9]})).fit(frame)
        assert fitted.transform(frame).collect().rows() == [(3, 0)]
        assert [column.cardinality for column in fitted.schema] == [4, 2]


class TestHashBucket:
    def test_strings_by_murmur3(self):
        values = ["a", "é", "東京", "a" * 99]
        expected = [mmh3.hash(value, signed=False) % 1000 for value in values]
        assert apply(HashBucket(1000), [*values, "", None]) == [*expected, 0, 0]

    def test_integers_by_fmix64(self):
        def fmix64(value: int) -> int:
            h = value % 2**64
            for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
                h = ((h ^ (h >> 33)) * factor) % 2**64
            return h ^ (h >> 33)

        values = [0, 1, -1, 2**63 - 1, -(2**63) + 1]
        assert apply(HashBucket(1000), [*values, None]) == [*(fmix64(value) % 1000 for value in values), 0]

    def test_a_constant_column_fills_one_bucket(self):
        assert len(set(apply(HashBucket(10), [7] * 20))) == 1

    def test_positional(self):
        assert HashBucket(10) == HashBucket(num_buckets=10)
        with pytest.raises(TypeError, match="takes 1 settings, got 2"):
            HashBucket(10, 11)


class TestColumns:
    def test_rename(self):
        frame = pl.DataFrame({"x": ["a", ""]})
        fitted = Workflow(["x"] >> Rename(name="y"), tags={"x": {Tag.ITEM_ID}}).fit(frame)
        assert fitted.transform(frame).collect().to_dict(as_series=False) == {"y": ["a", None]}
        assert fitted.schema["y"].tags == {Tag.ITEM_ID}

    def test_formula_belongs_to_the_side_of_all_its_columns(self):
        frame = pl.DataFrame({"a": [1], "b": [2], "c": [3]})
        tags = {"a": {Tag.USER, Tag.USER_ID}, "b": {Tag.USER}, "c": {Tag.ITEM}}
        node = (["a", "b"] >> Formula("a + b", "same")) + (["a", "c"] >> Formula("a + c", "mixed"))
        schema = Workflow(node, tags=tags).fit(frame).schema
        assert schema["same"].tags == {Tag.USER, Tag.CONTINUOUS}
        assert schema["mixed"].tags == {Tag.CONTINUOUS}

    @pytest.mark.parametrize("divisor", [3, 49, 98, 103])
    def test_division_by_a_constant_is_not_by_its_reciprocal(self, divisor):
        frame = pl.DataFrame({"x": [float(divisor), 2.0 * divisor, None]})
        nodes = [["x"] >> Formula(f"x {sign} {divisor}", name) for sign, name in (("//", "whole"), ("%", "rest"))]
        found = Workflow(*nodes).fit(frame).transform(frame).collect()
        assert found["whole"].to_list() == [1.0, 2.0, None]
        assert found["rest"].to_list() == [0.0, 0.0, None]

    def test_lambda_takes_what_polars_gives(self):
        frame = pl.DataFrame({"x": ["Ann Lee", None]})
        node = ["x"] >> LambdaOp(lambda x: x.str.slice(0, 3)) >> Categorify()
        assert Workflow(node).fit(frame).transform(frame).collect()["x"].to_list() == [3, 1]

    def test_ids_lose_their_meaning_as_numbers_and_keep_it_as_ids(self):
        tags = {"x": {Tag.USER, Tag.USER_ID}}
        frame = pl.DataFrame({"x": [1, 2]})
        assert Workflow(["x"] >> LogOp(), tags=tags).fit(frame).schema["x"].tags == {Tag.USER, Tag.CONTINUOUS}
        ids = Workflow(["x"] >> Categorify(), tags=tags).fit(frame).schema["x"].tags
        assert ids == {Tag.USER, Tag.USER_ID, Tag.CATEGORICAL}
