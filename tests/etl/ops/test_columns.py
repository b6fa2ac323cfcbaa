"""Operators that drop, cross and shrink columns, on rows whose answer is known by construction."""

from __future__ import annotations

import itertools

import polars as pl
import pytest
from pydantic import ValidationError

from core.errors import UserError
from core.schema import DType, Tag
from etl import Fitted, Workflow
from etl.ops import (
    Categorify,
    DropLowCardinality,
    FillMissing,
    HashBucket,
    HashedCross,
    Normalize,
    ReduceDtypeSize,
    Rename,
)


class TestDropLowCardinality:
    ROWS = pl.DataFrame(
        {"one": ["a", "a", "a"], "two": ["a", "b", "a"], "three": ["a", "b", "c"], "n": [1, 2, 3], "s": ["x"] * 3}
    )

    def test_drops_ids_below_the_least_and_nothing_else(self):
        node = (["one", "two", "three"] >> Categorify()) + ["n", "s"]
        # Cardinalities are 4, 5 and 6, so the largest ids 3, 4 and 5.
        for least, names in ((4, ("two", "three")), (5, ("three",)), (0, ("one", "two", "three"))):
            fitted = Workflow(node >> DropLowCardinality(least)).fit(self.ROWS)
            assert fitted.schema.names == (*names, "n", "s")
            assert fitted.transform(self.ROWS).collect().columns == [*names, "n", "s"]
        assert DropLowCardinality().min_cardinality == 4

    def test_a_size_that_is_known_before_the_fit(self):
        node = (["n"] >> HashBucket(2)) + ["s"]
        plan = Workflow(node >> DropLowCardinality()).plan(self.ROWS.schema)
        assert list(plan.outputs) == ["s"]

    def test_in_a_saved_workflow(self, tmp_path):
        fitted = Workflow(["one", "two"] >> Categorify() >> DropLowCardinality()).fit(self.ROWS)
        fitted.save(tmp_path / "w")
        loaded = Fitted.load(tmp_path / "w")
        assert loaded.schema == fitted.schema
        assert loaded.transform(self.ROWS.select("two")).collect()["two"].to_list() == [3, 4, 3]

    def test_an_update_brings_back_what_has_grown(self, tmp_path):
        workflow = Workflow(["one", "two"] >> Categorify() >> DropLowCardinality())
        first = workflow.fit(self.ROWS)
        later = pl.DataFrame({"one": ["b"], "two": ["a"]})
        first.save(tmp_path / "w")
        for one in (first, Fitted.load(tmp_path / "w")):
            assert one.update(later).schema.names == ("one", "two")
        assert first.schema.names == ("two",)

    def test_a_later_operator_that_reads_what_went(self):
        node = ["one", "two"] >> Categorify() >> DropLowCardinality() >> Rename(postfix="_id")
        with pytest.raises(UserError, match="column one: drop_low_cardinality left the column out, and rename reads"):
            Workflow(node).fit(self.ROWS)
        kept = Workflow(["two"] >> Categorify() >> DropLowCardinality() >> Rename(postfix="_id")).fit(self.ROWS)
        assert kept.schema.names == ("two_id",)

    def test_nothing_is_left(self):
        with pytest.raises(UserError, match="drop_low_cardinality left no column"):
            Workflow(["one"] >> Categorify() >> DropLowCardinality()).fit(self.ROWS)


class TestHashedCross:
    ROWS = pl.DataFrame({"a": [1, 2, 1, 2, None], "b": ["x", "x", "y", "y", None], "c": [1, 2, 3, 4, 5]})

    def made(self, operator: HashedCross, columns: list, frame: pl.DataFrame = ROWS) -> pl.DataFrame:
        return Workflow(columns >> operator).fit(frame).transform(frame).collect()

    def test_all_columns_or_each_group(self):
        assert self.made(HashedCross(9), ["a", "b"]).columns == ["a_X_b"]
        assert self.made(HashedCross(9), [["a", "b"], ["a", "c", "b"]]).columns == ["a_X_b", "a_X_c_X_b"]

    def test_equal_rows_share_a_bucket_and_pairs_spread(self):
        pairs = list(itertools.product(range(100), [f"v{n}" for n in range(100)]))
        frame = pl.DataFrame(pairs, schema=["a", "b"], orient="row")
        buckets = self.made(HashedCross(100), ["a", "b"], pl.concat([frame, frame]))["a_X_b"]
        assert buckets[:10_000].equals(buckets[10_000:])
        counts = buckets.value_counts()["count"]
        assert len(counts) == 100
        # 200 expected a bucket, each counted twice: 5 deviations of a fair draw.
        assert counts.is_between(2 * (100 - 50), 2 * (100 + 50)).all()

    def test_pairs_of_equal_values_do_not_meet_in_one_bucket(self):
        frame = pl.DataFrame({"a": range(100), "b": range(100)})
        assert self.made(HashedCross(10**6), ["a", "b"], frame)["a_X_b"].n_unique() > 95
        turned = self.made(HashedCross(10**6), ["b", "a"], pl.DataFrame({"a": [1], "b": [2]})).item()
        assert turned != self.made(HashedCross(10**6), ["a", "b"], pl.DataFrame({"a": [1], "b": [2]})).item()

    def test_null_is_a_value(self):
        frame = pl.DataFrame({"a": [0, None, 0, None], "b": ["x", "x", None, None]})
        assert self.made(HashedCross(10**6), ["a", "b"], frame)["a_X_b"].n_unique() == 4

    def test_sizes_by_cross(self):
        node = [["a", "b"], ["b", "c"]] >> HashedCross({("a", "b"): 10, "b_X_c": 20})
        schema = Workflow(node, tags={name: {Tag.ITEM} for name in "abc"}).fit(self.ROWS).schema
        assert [(column.cardinality, column.dtype) for column in schema] == [(10, DType.INT32), (20, DType.INT32)]
        assert schema["a_X_b"].tags == {Tag.ITEM, Tag.CATEGORICAL}

    def test_refused(self):
        with pytest.raises(UserError, match="column a_X_b: num_buckets has no number .*did you mean a_X_c"):
            self.made(HashedCross({"a_X_c": 1}), ["a", "b"])
        with pytest.raises(UserError, match="column c: hashed_cross has no cross of this column"):
            self.made(HashedCross(9), [["a", "b"], "c"])
        with pytest.raises(UserError, match="column x: hashed_cross takes integers or strings"):
            self.made(HashedCross(9), ["x"], pl.DataFrame({"x": [0.5]}))
        with pytest.raises(ValidationError, match="greater than or equal to 1"):
            HashedCross({"a_X_b": 0})


class TestReduceDtypeSize:
    def test_the_smallest_type_that_holds_the_training_rows(self):
        ends = {"a": [-128, 127], "b": [-129, 0], "c": [0, 2**15], "d": [0, 2**31], "e": [0, 2**31 - 1]}
        frame = pl.DataFrame(ends)
        made = Workflow(list(ends) >> ReduceDtypeSize()).fit(frame).transform(frame).collect()
        assert made.dtypes == [pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int32]
        assert made.cast(pl.Int64).equals(frame)

    def test_what_does_not_fit_is_null_and_never_another_value(self):
        fitted = Workflow(["x"] >> ReduceDtypeSize()).fit(pl.DataFrame({"x": [1, 2]}))
        rows = pl.DataFrame({"x": [127, 128, -128, -129, 256, 2**62, None]})
        assert fitted.transform(rows).collect()["x"].to_list() == [127, None, -128, None, None, None, None]

    def test_numbers_ids_and_texts(self):
        frame = pl.DataFrame({"f": [1.5, 1e300], "s": ["a", "b"], "id": ["a", "b"], "n": [1, None]})
        node = (["id"] >> Categorify()) + (["n"] >> FillMissing(0)) + ["f", "s"]
        fitted = Workflow(node >> ReduceDtypeSize()).fit(frame)
        made = fitted.transform(frame).collect()
        assert made.schema == {"id": pl.Int8, "n": pl.Float32, "f": pl.Float32, "s": pl.String}
        assert fitted.schema["id"].cardinality == 5
        assert not fitted.schema["id"].nullable

    def test_an_update_may_ask_for_a_larger_type(self):
        fitted = Workflow(["x", "y"] >> ReduceDtypeSize()).fit(pl.DataFrame({"x": [1], "y": [-5]}))
        later = fitted.update(pl.DataFrame({"x": [300], "y": [None]}, schema=dict.fromkeys("xy", pl.Int64)))
        assert [column.dtype for column in later.schema] == [DType.INT16, DType.INT8]

    def test_operators_may_follow(self):
        frame = pl.DataFrame({"x": [1, 2, 3], "k": [7, 7, 8]})
        node = (["x"] >> ReduceDtypeSize() >> Normalize()) + (["k"] >> ReduceDtypeSize() >> Categorify())
        made = Workflow(node).fit(frame).transform(frame).collect()
        assert made.to_dict(as_series=False) == {"x": [-1, 0, 1], "k": [3, 3, 4]}

    def test_other_types_of_floats_are_refused(self):
        assert ReduceDtypeSize(pl.Float32).float_dtype.lower() == "float32"
        with pytest.raises(ValidationError, match="must be float32"):
            ReduceDtypeSize(float_dtype="float16")
