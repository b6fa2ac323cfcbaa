"""What NVTabular's users write: the parameters of its simple operators, and what becomes of those without a meaning."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from core.errors import UserError
from core.schema import DType, Tag
from etl import Fitted, Workflow
from etl.ops import (
    AddTags,
    Bucketize,
    Clip,
    FillMissing,
    HashBucket,
    LambdaOp,
    Normalize,
    NormalizeMinMax,
    Rename,
)

ROWS = pl.DataFrame({"a": [1, 2, 4], "b": [10.0, 20.0, None], "t": ["x", "y", "z"]})


def made(node: object, frame: pl.DataFrame = ROWS) -> pl.DataFrame:
    return Workflow(node).fit(frame).transform(frame).collect()


class TestRename:
    @pytest.mark.parametrize(
        ("operator", "columns"),
        [
            (Rename(str.upper), ["A", "B"]),
            (Rename(lambda name: f"{name}{name}"), ["aa", "bb"]),
            (Rename(None, "_p"), ["a_p", "b_p"]),
            (Rename(names={"b": "c"}), ["a", "c"]),
        ],
        ids=["upper", "lambda", "postfix", "names"],
    )
    def test_ways_of_naming(self, operator, columns, tmp_path):
        fitted = Workflow(["a", "b"] >> operator).fit(ROWS)
        assert fitted.schema.names == tuple(columns)
        fitted.save(tmp_path / "w")
        loaded = Fitted.load(tmp_path / "w")
        assert loaded.transform(ROWS).collect().columns == columns
        loaded.save(tmp_path / "again")
        assert Fitted.load(tmp_path / "again").schema == fitted.schema

    def test_results_are_saved_and_no_function(self, tmp_path):
        Workflow(["a", "b"] >> Rename(str.upper)).fit(ROWS).save(tmp_path / "w")
        assert Fitted.load(tmp_path / "w").steps[0].operator == Rename(names={"a": "A", "b": "B"})

    def test_refused(self):
        with pytest.raises(UserError, match="column a: the function of rename must give a name, got None"):
            made(["a"] >> Rename(lambda name: None))
        with pytest.raises(UserError, match="two features would both be called c"):
            made(["a", "b"] >> Rename(lambda name: "c"))
        with pytest.raises(UserError, match="names of rename names c, which is none of the columns"):
            made(["a"] >> Rename(names={"c": "d"}))
        with pytest.raises(ValidationError, match="must be a function from a name to a name; in a config use names"):
            Rename("upper")
        with pytest.raises(ValidationError, match="give either name"):
            Rename(str.upper, name="x")


class TestLambdaOp:
    def test_other_columns(self):
        share = LambdaOp(lambda x, others: x / others["b"], dependency=["b"])
        assert made(["a"] >> share)["a"].to_list() == [pytest.approx(0.1), pytest.approx(0.1), None]
        both = LambdaOp(lambda x, others: x + others["a"])
        assert made(["a"] >> both)["a"].to_list() == [2, 4, 8], "the columns that it is applied to are there, too"

    def test_a_dependency_that_an_operator_made(self):
        node = (["a"] + (["b"] >> FillMissing(40))) >> LambdaOp(lambda x, others: x / others["b"], dependency="b")
        assert made(node)["a"].to_list() == [pytest.approx(value) for value in (0.1, 0.1, 0.1)]

    @pytest.mark.parametrize(
        ("given", "dtype"),
        [("float32", DType.FLOAT32), (np.float64, DType.FLOAT32), (pl.Int8, DType.FLOAT32), (str, DType.STRING)],
    )
    def test_types(self, given, dtype):
        fitted = Workflow(["a"] >> LambdaOp(lambda x: x, dtype=given)).fit(ROWS)
        assert fitted.schema["a"].dtype == dtype, "numbers leave as float32"
        assert fitted.transform(ROWS).collect()["a"].to_list()[0] in (1, "1")

    def test_tags_and_properties(self):
        node = ["a"] >> LambdaOp(lambda x: x, tags=["item"], properties={"unit": "m"})
        column = Workflow(node).fit(ROWS).schema["a"]
        assert (column.tags, column.properties) == ({Tag.ITEM, Tag.CONTINUOUS}, {"unit": "m"})

    def test_refused(self):
        with pytest.raises(ValidationError, match="must take the column, or the column and the others"):
            LambdaOp(lambda x, y, z: x)
        with pytest.raises(ValidationError, match="(?s)dtype.*must be an integer, float or string type, got date"):
            LambdaOp(lambda x: x, dtype=pl.Date)
        with pytest.raises(UserError, match="column t: shout can't be applied"):
            made(["t"] >> LambdaOp(lambda x: x + pl.col("nope"), label="shout"))
        with pytest.raises(UserError, match="column q: .*which lambda reads"):
            made(["a"] >> LambdaOp(lambda x: x, dependency="q"))
        with pytest.raises(UserError, match="LambdaOp double holds Python code"):
            Workflow(["a"] >> LambdaOp(lambda x: 2 * x, label="double")).fit(ROWS).onnx(None, {"a": None})


class TestTags:
    def test_tags_that_merlin_alone_knows_are_kept(self):
        column = (
            Workflow(["a"] >> AddTags(["session", "tokenized", "user"]) >> AddTags("embedding")).fit(ROWS).schema["a"]
        )
        assert column.tags == {Tag.USER}
        assert column.properties == {"merlin_tags": ["embedding", "session", "tokenized"]}

    def test_a_compound_of_merlin(self):
        assert AddTags("binary_classification") == AddTags([Tag.BINARY])

    def test_no_tag_at_all(self):
        with pytest.raises(ValidationError, match="there is no tag 'usr'; did you mean user"):
            AddTags("usr")


class TestNumbers:
    @pytest.mark.parametrize("operator", [Normalize, NormalizeMinMax])
    @pytest.mark.parametrize("given", ["float32", np.float32, pl.Float32, None])
    def test_float32_is_what_they_give(self, operator, given):
        assert made(["a"] >> operator(given))["a"].dtype == pl.Float32

    @pytest.mark.parametrize("operator", [Normalize, NormalizeMinMax])
    def test_another_type_is_refused(self, operator):
        with pytest.raises(ValidationError, match="(?s)out_dtype.*must be float32"):
            operator(out_dtype=np.float64)

    def test_settings_by_column(self):
        assert made(["a", "b"] >> Bucketize({"a": [2], "b": [15, 25]})).rows() == [(0, 0), (1, 1), (1, 2)]
        schema = Workflow(["a", "t"] >> HashBucket({"a": 5, "t": 7})).fit(ROWS).schema
        assert [column.cardinality for column in schema] == [5, 7]

    def test_by_position(self):
        assert Clip(1, 2) == Clip(min_value=1, max_value=2)
        assert FillMissing(3, True) == FillMissing(fill_val=3, add_binary_cols=True)
