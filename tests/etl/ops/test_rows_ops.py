"""Filter, Dropna and Groupby on rows whose right answer is worked out by hand."""

from __future__ import annotations

import polars as pl
import pytest
from pydantic import TypeAdapter, ValidationError

from core.errors import UserError
from core.schema import DType, Tag
from etl import Workflow
from etl.features import FeatureSpec
from etl.ops import Categorify, Dropna, Filter, Formula, Groupby, LogOp, Normalize
from etl.ops.base import Operator
from etl.serving import for_serving

SALES = pl.DataFrame(
    {
        "who": ["b", "a", "b", None, "a", "b"],
        "what": ["x", "y", "z", "x", None, "x"],
        "at": [3, 1, 1, 2, 5, None],
        "price": [3.0, 10.0, float("nan"), 7.0, 20.0, 5.0],
    }
)


def apply(columns: list[str], *operators: Operator, rows: pl.DataFrame = SALES) -> pl.DataFrame:
    node = columns >> operators[0]
    for operator in operators[1:]:
        node = node >> operator
    return Workflow(node).fit(rows).transform(rows).collect()


class TestFilter:
    def test_a_formula_may_read_columns_beside_its_own(self):
        assert apply(["what"], Filter("price >= 7 and who == 'a'"))["what"].to_list() == ["y", None]

    def test_what_is_not_known_goes(self):
        assert apply(["at"], Filter("at < 5"))["at"].to_list() == [3, 1, 1, 2]
        assert apply(["price"], Filter("not price < 6"))["price"].to_list() == [10.0, 7.0, 20.0]

    def test_a_number_that_is_not_0_holds(self):
        assert apply(["at"], Filter("at - 1"))["at"].to_list() == [3, 2, 5]

    def test_nvtabulars_way_of_writing_works(self):
        assert apply(["at", "price"], Filter(f=lambda df: df["price"] >= 7)).rows() == [(1, 10.0), (2, 7.0), (5, 20.0)]
        both = Filter(lambda df: (df["at"] > 1) & df["who"].is_not_null())
        assert apply(["at", "who"], both).rows() == [(3, "b"), (5, "a")]

    def test_a_function_must_give_an_expression(self):
        with pytest.raises(UserError, match=r"column price: .* must give a Polars expression, got bool"):
            apply(["price"], Filter(lambda df: True))

    def test_every_output_of_the_workflow_loses_the_rows(self):
        whole = (["price"] >> Filter("price > 5")) + (["at"] >> LogOp())
        assert Workflow(whole).fit(SALES).transform(SALES).collect().height == 3

    def test_what_follows_learns_from_the_rows_that_are_left(self):
        made = apply(["price"], Filter("price < 8"), Normalize())
        assert made["price"].to_list() == pytest.approx([-1.0, 1.0, 0.0])

    def test_it_reads_what_was_made_before_it(self):
        made = apply(["price"], Formula("price * 2", "double"), Filter("double > 19 and at < 2"))
        assert made["double"].to_list() == [20.0]

    def test_serving_lets_every_row_pass(self):
        fitted = Workflow(["price"] >> Filter("who == 'a'") >> LogOp()).fit(SALES)
        assert for_serving(fitted).input_schema.names == ("price",), "nobody has to give what only the filter reads"

    def test_lists_pass(self):
        rows = pl.DataFrame({"l": [[1], [], [2, 3]], "n": [1, 2, 3]})
        assert apply(["l"], Filter("n > 1"), rows=rows)["l"].to_list() == [[], [2, 3]]
        odd = pl.DataFrame({"l": [[1.5, float("nan")], None, []], "n": [2, 3, 4]})
        assert apply(["l"], Filter("n > 1"), rows=odd)["l"].to_list() == [[1.5, None], [], []]
        assert apply(["l"], Dropna(), rows=odd)["l"].to_list() == [[1.5, None], []]

    def test_in_a_config(self):
        feature = TypeAdapter(FeatureSpec).validate_python({"columns": "a", "ops": [{"filter": "a > 0"}, "dropna"]})
        assert feature.ops[0] == Filter("a > 0")
        assert feature.model_dump(mode="json")["ops"] == [{"filter": {"f": "a > 0"}}, "dropna"]
        schema = TypeAdapter(FeatureSpec).json_schema()
        assert {"type": "string"} in _of(schema, "filter")["anyOf"][0]["anyOf"]

    @pytest.mark.parametrize(("formula", "told"), [("1 > 0", "names no column"), ("a >", "invalid syntax")])
    def test_refusals(self, formula, told):
        with pytest.raises(ValidationError, match=told):
            Filter(formula)

    def test_a_column_that_is_not_there(self):
        with pytest.raises(UserError, match="column prise: the data have no such column, which filter reads; did you"):
            apply(["price"], Filter("prise > 0"))


def _of(schema: dict, name: str) -> dict:
    """The schema of an operator's settings."""
    for choice in schema["properties"]["ops"]["items"]["anyOf"]:
        if name in choice.get("properties", {}):
            return choice["properties"][name]
    raise AssertionError(name)


class TestDropna:
    def test_rows_with_a_value_in_every_column(self):
        assert apply(["who", "what"], Dropna()).rows() == [("b", "x"), ("a", "y"), ("b", "z"), ("b", "x")]
        assert apply(["price", "at"], Dropna()).rows() == [(3.0, 3), (10.0, 1), (7.0, 2), (20.0, 5)]


class TestGroupby:
    def test_one_row_a_key_in_order_of_the_key(self):
        made = apply(["who", "what", "price"], Groupby("who", aggs={"price": "sum", "what": "count"}))
        assert made.rows(named=True) == [
            {"who": "a", "what_count": 1.0, "price_sum": 30.0},
            {"who": "b", "what_count": 3.0, "price_sum": 8.0},
        ]

    def test_lists_and_ends_stand_in_order_of_time(self):
        operator = Groupby("who", "at", {"what": ["list", "first", "last"]}, name_sep="-")
        made = apply(["who", "what", "at"], operator)
        assert made.columns == ["who", "what-list", "what-first", "what-last"]
        assert made.rows() == [("a", ["y", None], "y", None), ("b", ["z", "x", "x"], "z", "x")]

    def test_descending_lists_and_the_same_ends(self):
        made = apply(["who", "price", "at"], Groupby(["who"], ["at"], {"price": ["list", "first"]}, ascending=False))
        # The row without a time stays last.
        assert made.rows() == [("a", [20.0, 10.0], 10.0), ("b", [3.0, None, 5.0], None)]

    def test_ties_stand_as_the_rows_lie(self):
        rows = pl.DataFrame({"k": [1] * 5, "t": [2, 1, 2, 1, 2], "v": [0, 1, 2, 3, 4]})
        assert apply(["k", "v", "t"], Groupby("k", "t", {"v": "list"}), rows=rows)["v_list"].item().to_list() == [
            *(1, 3, 0, 2, 4)
        ]

    def test_statistics(self):
        rows = pl.DataFrame({"k": [1, 1, 1, 1, 2], "v": [1, 2, 2, None, 4]})
        kinds = ["count", "nunique", "sum", "mean", "std", "var", "median", "min", "max"]
        first, second = apply(["k", "v"], Groupby("k", aggs=kinds), rows=rows).rows()
        assert first == pytest.approx((1, 3, 2, 5, 5 / 3, 3**-0.5, 1 / 3, 2, 1, 2))
        assert second == (2, 1, 1, 4, 4, None, None, 4, 4, 4)

    def test_groups_without_values(self):
        rows = pl.DataFrame({"k": [1, 1], "v": [None, float("nan")]})
        kinds = ["count", "nunique", "sum", "mean", "std", "median", "min", "first", "list"]
        made = apply(["k", "v"], Groupby("k", aggs=kinds), rows=rows).row(0)
        assert made == (1, 0.0, 0.0, 0.0, None, None, None, None, None, [None, None])

    def test_a_sum_that_is_none_is_declared_so(self):
        rows = pl.DataFrame({"k": [1, 1, 1], "v": [float("inf"), float("-inf"), 1.0], "i": [1, 2, None]})
        fitted = Workflow(["k", "v", "i"] >> Groupby("k", aggs="sum")).fit(rows)
        assert fitted.transform(rows).collect().row(0) == (1, None, 3.0)
        assert [column.nullable for column in fitted.schema] == [False, True, False]

    def test_several_keys(self):
        made = apply(["who", "what", "price"], Groupby(["what", "who"], aggs={"price": "max"}))
        assert made.rows() == [("x", "b", 5.0), ("y", "a", 10.0), ("z", "b", None)]

    def test_types_and_tags(self):
        node = ["who", "what", "price"] >> Groupby("who", aggs=["list", "first", "count"])
        schema = Workflow(node, tags={"who": {Tag.USER_ID}}).fit(SALES).schema
        assert schema["what_list"].is_list
        assert schema["what_list"].dtype == DType.STRING
        assert schema["price_count"].dtype == DType.FLOAT32
        assert Tag.USER_ID in schema["who"].tags
        assert not schema["who"].nullable

    def test_what_follows_works_on_the_groups(self):
        chain = (Groupby("who", "at", {"what": ["list", "count"]}), Filter("what_count > 1"), Categorify())
        made = apply(["who", "what", "at"], *chain[:2])
        assert made["who"].to_list() == ["b"]
        lists = Workflow((["who", "what"] >> Groupby("who")) - ["who"] >> Categorify()).fit(SALES)
        assert lists.transform(SALES).collect()["what_list"].to_list() == [[4, 1], [3, 5, 3]]

    @pytest.mark.parametrize(
        ("operator", "told"),
        [
            (Groupby("whom", aggs="count"), "column whom: groupby is to group by a column.*did you mean who"),
            (Groupby("who", aggs={"cost": "sum"}), "column cost: groupby is to aggregate a column it has not"),
            (Groupby("who", aggs={"who": "count"}), "column who: groupby is to aggregate a key"),
            (Groupby("who", aggs="mean"), "column what: groupby's mean takes numbers, got string"),
            (Groupby("who", "when"), "column when: the data have no such column, which groupby reads"),
        ],
    )
    def test_refusals(self, operator, told):
        with pytest.raises(UserError, match=told):
            apply(["who", "what"], operator)

    def test_an_aggregation_that_there_is_not(self):
        with pytest.raises(ValidationError, match="Input should be 'count'"):
            Groupby("who", aggs="mode")

    def test_columns_of_the_rows_before_can_not_stand_beside(self):
        with pytest.raises(UserError, match="can't stand side by side: groupby made other rows"):
            Workflow((["who", "what"] >> Groupby("who")) + ["price"]).fit(SALES)


def test_nvtabulars_own_type_for_lists():
    assert Groupby("a", aggs={"b": list}) == Groupby("a", aggs={"b": ["list"]})  # type: ignore[dict-item]  # the type, as NVTabular takes it
    assert Groupby("a", sort_cols=None) == Groupby(["a"])  # type: ignore[arg-type]  # its default there
