"""The graph, fitting by levels, and what a workflow refuses."""

from __future__ import annotations

import polars as pl
import pytest

from core.errors import UserError
from core.schema import DType, Tag
from etl import Workflow
from etl.engines.cpu import CpuEngine
from etl.features import FeatureSpec
from etl.graph import select
from etl.ops import (
    Categorify,
    Clip,
    FillMedian,
    FillMissing,
    Filter,
    Formula,
    HashBucket,
    History,
    LambdaOp,
    LogOp,
    Normalize,
    NormalizeMinMax,
    Rename,
)
from etl.ops.base import Operator
from etl.workflow import from_spec, require_model_inputs
from tests.contract.serving import Served, assert_same

FRAME = pl.DataFrame({"age": [20, 30, None, 50], "city": ["a", "b", "a", None], "extra": [1, 2, 3, 4]})


class CountingEngine(CpuEngine):
    """Notes the size of each pass."""

    def __init__(self):
        self.passes: list[int] = []

    def compute(self, frames):
        self.passes.append(len(frames))
        return super().compute(frames)


class TestGraph:
    def test_nodes_join_and_leave_out(self):
        node = (["city"] >> Categorify()) + (["age"] >> FillMedian())
        fitted = Workflow(node - "city").fit(FRAME)
        assert fitted.schema.names == ("age",)
        assert fitted.inputs_of() == ("age",)

    def test_raw_columns_pass_as_they_are(self):
        fitted = Workflow((["age"] >> LogOp() >> Rename(postfix="_log")) + ["age", "city"]).fit(FRAME)
        made = fitted.transform(FRAME).collect()
        assert made.select("age", "city").equals(FRAME.select("age", "city"))
        assert fitted.schema["age"].dtype == DType.INT64

    def test_groups_outlive_what_is_left_out(self):
        node = select([["age", "extra"], "city"])
        assert (node - ["city"]).groups == (("age", "extra"),)
        assert (node - ["age"]).groups == (("extra",),)
        assert (node - ["age", "extra"]).groups == ()

    def test_columns_by_what_they_mean(self):
        tags = {"age": {Tag.USER, Tag.CONTINUOUS}, "city": {Tag.USER}, "extra": {Tag.CONTINUOUS}}
        node = (select(tags=[Tag.CONTINUOUS]) >> FillMissing(0)) + (select(tags=[Tag.USER]) - ["age"])
        assert Workflow(node, tags=tags).fit(FRAME).schema.names == ("age", "extra", "city")
        both = select("city", tags=[Tag.CONTINUOUS, Tag.USER])
        assert Workflow(both, tags=tags).fit(FRAME).schema.names == ("city", "age")
        with pytest.raises(UserError, match="no column is tagged item"):
            Workflow(select(tags=[Tag.ITEM]), tags=tags).fit(FRAME)

    def test_names_on_the_left(self):
        assert (["age"] + (["city"] >> Categorify())).inputs == ("age", "city")
        assert ("city" >> Categorify()).inputs == ("city",)

    def test_the_same_column_on_two_ways_is_one_column(self):
        shared = ["age"] >> FillMedian()
        assert Workflow(shared + shared).fit(FRAME).schema.names == ("age",)

    def test_a_shared_node_is_one_step(self):
        shared = ["age"] >> FillMedian()
        node = (shared >> LogOp() >> Rename(name="log")) + (shared >> Normalize() >> Rename(name="norm")) + shared
        fitted = Workflow(node).fit(FRAME)
        assert [step.operator.kind for step in fitted.steps].count("fill_median") == 1
        assert_same(fitted, Served(fitted), FRAME)

    def test_names_with_the_sign_of_references(self):
        frame = pl.DataFrame({"age": [1.0, 3.0], "age@1": [10.0, 30.0], "age@in": [0.0, 9.0]})
        node = (["age"] >> NormalizeMinMax() >> Rename(name="a")) + ["age", "age@1", "age@in"]
        made = Workflow(node).fit(frame).transform(frame).collect()
        assert made.drop("a").equals(frame)
        assert made["a"].to_list() == [0.0, 1.0]

    def test_a_later_operator_reads_what_an_earlier_one_made(self):
        node = ["age"] >> FillMissing(0) >> Clip(max=30) >> NormalizeMinMax()
        assert Workflow(node).fit(FRAME).transform(FRAME).collect()["age"].to_list() == [
            pytest.approx(2 / 3),
            1.0,
            0.0,
            1.0,
        ]

    def test_an_operator_must_follow(self):
        with pytest.raises(TypeError, match="an operator must follow"):
            select("age") >> "log"
        with pytest.raises(TypeError, match="by name"):
            select([1])


class TestLevels:
    def test_one_pass_a_level(self):
        engine = CountingEngine()
        node = (["age"] >> FillMedian() >> LogOp() >> Normalize()) + (["city", "extra"] >> Categorify())
        Workflow(node).fit(FRAME, engine)
        # First what rows there are, scalars with the median, its sketch and both vocabularies; then the moments
        # (scalars and a table).
        assert engine.passes == [5, 2]

    def test_nothing_to_learn_takes_no_pass(self):
        engine = CountingEngine()
        Workflow(["age"] >> FillMissing(0) >> LogOp()).fit(FRAME, engine)
        assert engine.passes == []

    def test_only_the_rows_that_are_given_are_learned_from(self):
        fitted = Workflow(["age"] >> FillMissing(0) >> NormalizeMinMax()).fit(FRAME[:2])
        assert fitted.transform(FRAME).collect()["age"].to_list() == [0.0, 1.0, -2.0, 3.0]


class TestTransform:
    def fitted(self):
        node = (["age"] >> FillMedian() >> LogOp()) + (["city"] >> Categorify())
        return Workflow(node, tags={"age": {Tag.USER}}).fit(FRAME)

    def test_some_columns_need_only_their_inputs(self):
        made = self.fitted().transform(FRAME.select("city"), ["city"]).collect()
        assert made["city"].to_list() == [3, 4, 3, 1]
        assert self.fitted().inputs_of(["city"]) == ("city",)

    def test_columns_come_in_the_order_asked(self):
        assert self.fitted().transform(FRAME, ["city", "age"]).collect_schema().names() == ["city", "age"]

    def test_kept_columns_pass_by(self):
        made = self.fitted().transform(FRAME, keep=["extra"]).collect()
        assert made.columns == ["extra", "age", "city"]
        assert made["extra"].equals(FRAME["extra"])

    def test_a_missing_column_is_named(self):
        with pytest.raises(UserError, match="column city: the data have no such column") as caught:
            self.fitted().transform(FRAME.drop("city").rename({"extra": "citty"}))
        assert "did you mean citty?" in str(caught.value)

    def test_an_unknown_output_is_named(self):
        with pytest.raises(UserError, match=r"no output agee; did you mean age\?"):
            self.fitted().transform(FRAME, ["agee"])

    def test_a_kept_column_must_not_hide_an_output(self):
        with pytest.raises(UserError, match="age is both"):
            self.fitted().transform(FRAME, keep=["age"])

    @pytest.mark.parametrize(
        ("dtype", "accepted"),
        [
            (pl.Int8, True),
            (pl.UInt32, True),
            (pl.Boolean, True),
            (pl.Null, True),
            (pl.Float64, False),
            (pl.String, False),
        ],
    )
    def test_a_changed_type(self, dtype, accepted):
        changed = FRAME.with_columns(pl.lit(None, dtype).alias("age"))
        if accepted:
            assert self.fitted().transform(changed).collect()["age"].null_count() == 0
        else:
            with pytest.raises(UserError, match="column age: the column was fitted as int64 and is") as caught:
                self.fitted().transform(changed)
            assert caught.value.cure

    def test_integers_widen_to_floats(self):
        fitted = Workflow(["age"] >> NormalizeMinMax()).fit(FRAME.with_columns(pl.col("age").cast(pl.Float32)))
        assert fitted.transform(FRAME).collect()["age"].to_list() == [0.0, pytest.approx(1 / 3), None, 1.0]

    def test_categoricals_are_strings(self):
        fitted = Workflow(["city"] >> Categorify()).fit(FRAME)
        as_categories = FRAME.with_columns(pl.col("city").cast(pl.Categorical))
        assert fitted.transform(as_categories).collect()["city"].to_list() == [3, 4, 3, 1]


class TestDroppedRows:
    LOG = pl.DataFrame({"user": [1, 1, 1], "at": [10, 20, 30], "price": [2.0, 50.0, 4.0]})
    KEPT = ["price"] >> Filter("price < 9")

    def test_a_window_that_stands_beside_a_filter_sees_every_row(self):
        seen = ["user"] >> History("count", time="at", unit="s")
        for node in (self.KEPT + seen, seen + self.KEPT):
            made = Workflow(node).fit(self.LOG).transform(self.LOG).collect()
            assert made["user_history_count"].to_list() == [0.0, 2.0]

    def test_what_is_learned_behind_a_filter_and_what_beside_it(self):
        behind = self.KEPT >> Normalize() >> Rename(name="behind")
        beside = ["price"] >> Normalize() >> Rename(name="beside")
        fitted = Workflow(behind + beside).fit(self.LOG)
        made = fitted.transform(pl.DataFrame({"price": [3.0, 56.0 / 3]})).collect()
        assert made.height == 1
        assert made["behind"][0] == 0.0
        later = fitted.transform(pl.DataFrame({"price": [56.0 / 3]}), columns=["beside"]).collect()
        assert later["beside"][0] == pytest.approx(0.0, abs=1e-6)


class TestRefusals:
    def refuse(self, node, match, frame=FRAME):
        with pytest.raises(UserError, match=match) as caught:
            Workflow(node).fit(frame)
        return caught.value

    def test_a_missing_column(self):
        assert "did you mean city?" in str(self.refuse(["cty"] >> Categorify(), "column cty"))

    def test_two_features_of_one_name(self):
        error = self.refuse((["age"] >> LogOp()) + (["age"] >> Normalize()), "two features would both be called age")
        assert "rename" in str(error)

    def test_leaving_out_what_is_not_there(self):
        self.refuse((["age"] >> LogOp()) - ["agee"], "no column agee to leave out; did you mean age?")

    def test_nothing_left(self):
        self.refuse((["age"] >> LogOp()) - ["age"], "no output columns")

    def test_a_filter_that_nothing_comes_after(self):
        kept = (["extra"] >> Filter("extra > 1")) + (["age"] >> FillMissing(0))
        assert Workflow(kept).fit(FRAME).transform(FRAME).collect().height == 3
        error = self.refuse(kept - ["extra"], "column extra: filter would drop no row")
        assert "keep one of them" in str(error)
        behind = ["extra"] >> Filter("extra > 1") >> FillMissing(0)
        assert Workflow(behind).fit(FRAME).transform(FRAME).collect().height == 3

    def test_lists(self):
        self.refuse(["x"] >> LogOp(), "column x: log takes single values", pl.DataFrame({"x": [[1]]}))
        self.refuse(["x"] >> LogOp(), "column x: lists of lists", pl.DataFrame({"x": [[[1]]]}))

    def test_a_column_of_no_type(self):
        self.refuse(["x"] >> Categorify(), "column x: the column holds no value", pl.DataFrame({"x": [None]}))

    @pytest.mark.parametrize("operator", [LogOp(), Normalize(), NormalizeMinMax(), Clip(max=1), FillMedian()])
    def test_texts_for_numbers(self, operator: Operator):
        error = self.refuse(["city"] >> operator, f"column city: {operator.kind} takes numbers, got string")
        assert "categorify" in str(error)

    def test_numbers_for_texts_and_texts_for_numbers(self):
        self.refuse(["city"] >> FillMissing(0), "column city: fill_missing needs a string")
        self.refuse(["age"] >> FillMissing("x"), "column age: fill_missing needs a number")

    def test_floats_for_keys(self):
        frame = pl.DataFrame({"x": [0.5]})
        self.refuse(["x"] >> HashBucket(3), "column x: hash_bucket takes integers or strings", frame)
        self.refuse(["x"] >> Categorify(), "column x: categorify takes whole numbers", frame)

    def test_infinity_at_fit(self):
        frame = pl.DataFrame({"x": [1.0, float("inf")]})
        self.refuse(["x"] >> Normalize(), "column x: the column holds an infinite value", frame)
        self.refuse(["x"] >> NormalizeMinMax(), "column x: the column holds an infinite value", frame)
        self.refuse(["x"] >> FillMedian(), "column x: the median is infinite", frame)

    def test_values_too_far_apart(self):
        frame = pl.DataFrame({"x": [-1.7e308, 1.7e308]})
        self.refuse(["x"] >> NormalizeMinMax(), "column x: the values lie too far apart", frame)
        self.refuse(["x"] >> Normalize(), "column x: the values lie too far apart", frame)

    def test_one_name_for_two_columns(self):
        self.refuse(["age", "extra"] >> Rename(name="x"), "column age, extra: rename can't call 2 columns x")

    def test_a_formula_over_other_columns(self):
        self.refuse(["age"] >> Formula("age / agee", "x"), "column agee: .* no such column, which expression reads")
        self.refuse(["age", "extra"] >> Formula("age + 1", "x"), "column extra: .* does not use the column")

    def test_nulls_made_on_the_way_are_seen(self):
        self.refuse(["age"] >> Clip(max=-5) >> LogOp() >> Normalize(), "column age: the column holds no value")

    def test_python_code_can_not_be_served(self):
        fitted = Workflow(["age"] >> LambdaOp(lambda x: x + 1)).fit(FRAME)
        with pytest.raises(UserError, match="column age: LambdaOp holds Python code and can't be exported"):
            assert Served(fitted).session


class TestSpec:
    def features(self, *features):
        return [FeatureSpec.model_validate(feature) for feature in features]

    def test_features_stand_beside_each_other(self):
        features = self.features(
            {"columns": ["city"], "ops": ["categorify"]},
            {"columns": "age", "ops": ["fill_median", {"clip": {"min": 1, "max": 40}}, "log"]},
            {"columns": ["age", "extra"], "ops": [{"expression": {"formula": "age * extra", "name": "both"}}]},
        )
        workflow = from_spec(features, {"city": {Tag.ITEM}})
        assert workflow.inputs == ("city", "age", "extra")
        schema = workflow.fit(FRAME).schema
        assert schema.names == ("city", "age", "both")
        assert schema["city"].tags == {Tag.ITEM, Tag.CATEGORICAL}
        require_model_inputs(workflow.fit(FRAME))

    def test_a_model_can_not_read_text(self):
        fitted = from_spec(self.features({"columns": "city", "ops": [{"fill_missing": {"fill_val": "?"}}]})).fit(FRAME)
        with pytest.raises(UserError, match="feature city: a model can't read string") as caught:
            require_model_inputs(fitted)
        assert "categorify" in str(caught.value)
