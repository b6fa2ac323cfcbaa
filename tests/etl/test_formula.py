"""Formulas: what they mean, and where a wrong one is wrong."""

from __future__ import annotations

import datetime as dt
import math
import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import UserError
from etl import Workflow
from etl.formula import onnx, polars
from etl.formula.parse import FUNCTIONS, ONE_OF, TESTS, parse
from etl.formula.tree import names
from etl.ops import Filter, Formula
from tests.contract.serving import Served, assert_same


def compute(text: str, **columns: float | None) -> float | None:
    frame = pl.DataFrame({name: [value] for name, value in columns.items()}, schema=dict.fromkeys(columns, pl.Float64))
    node = list(columns) >> Formula(text, "made")
    fitted = Workflow(node).fit(frame)
    assert_same(fitted, Served(fitted), frame)
    return fitted.transform(frame).collect()["made"].item()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a + b * 2", 13.0),
        ("(a + b) * 2", 16.0),
        ("a - b - 1", -3.0),
        ("a / b", 0.6),
        ("b // a", 1.0),
        ("-b // a", -2.0),
        ("b % a", 2.0),
        ("-b % a", 1.0),
        ("a ** 2 + b ** -1", 9.2),
        ("-a ** 2 + b", -4.0),
        ("+a + b", 8.0),
        ("log(exp(a)) + 0 * b", 3.0),
        ("log1p(a - 3) + b", 5.0),
        ("sqrt(b - 1) + a", 5.0),
        ("abs(a - b)", 2.0),
        ("floor(b / a) + 10 * ceil(b / a)", 21.0),
        ("min(a, b, 4) + 10 * max(a, b, 4)", 53.0),
        ("a < b", 1.0),
        ("a < b < 4", 0.0),
        ("a <= 3 and b >= 5", 1.0),
        ("a > b or a != 3", 0.0),
        ("not a == b", 1.0),
        ("where(a > b, 1, 2)", 2.0),
        ("7 if a < b else 8", 7.0),
        ("is_null(a) + fill_null(b, 9)", 5.0),
        ('column("a") + b', 8.0),
        ("  a\n + b", 8.0),
        ("1e3 * a + b", 3005.0),
    ],
)
def test_meaning(text, value):
    assert compute(text, a=3.0, b=5.0) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a + b", None),
        ("a ** 0 + 0 * b", None),
        ("1 ** a + 0 * b", None),
        ("a < b", None),
        ("a == a or b", None),
        ("min(a, b)", None),
        ("where(a > 1, 1, b)", 2.0),
        ("where(b > 1, b, a)", 2.0),
        ("where(b > 1, a, b)", None),
        ("fill_null(a, b)", 2.0),
        ("is_null(a) * b", 2.0),
        ("not is_null(b) + 0 * is_null(a)", 1.0),
    ],
)
def test_null(text, value):
    assert compute(text, a=None, b=2.0) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("a / a", None), ("b / a", math.inf), ("log(a - 1) + b", None), ("log(a) + b", -math.inf), ("sqrt(-b) + a", None)],
)
def test_what_is_not_defined_is_null(text, value):
    columns = {"a": 0.0, "b": 1.0} if "b" in text else {"a": 0.0}
    assert compute(text, **columns) == value


@pytest.mark.parametrize(("text", "value"), [("a / 49", 1.0), ("a // 49", 1.0), ("a % 49", 0.0)])
def test_a_column_is_divided_exactly_by_a_constant(text, value):
    frame = pl.DataFrame({"a": [49.0, 49.0, 49.0]})
    fitted = Workflow(["a"] >> Formula(text, "made")).fit(frame)
    assert fitted.transform(frame).collect()["made"].to_list() == [value] * 3
    assert_same(fitted, Served(fitted), frame)


def test_a_name_that_is_no_word():
    frame = pl.DataFrame({"net price (€)": [2.0]})
    node = ["net price (€)"] >> Formula('column("net price (€)") * 2', "double")
    assert Workflow(node).fit(frame).transform(frame).collect()["double"].item() == 4.0


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("log(1 + a", 4, "never closed"),
        ("a +", 4, "invalid syntax"),
        ("", 1, "invalid syntax"),
        ("a + rm(b)", 5, "there is no function rm"),
        ("a + lgo(b)", 5, "did you mean log?"),
        ("  a + b[0]", 7, "not allowed"),
        ("é + b.real", 5, "not allowed"),
        ("a + 'x'", 5, "a constant must be a number, got 'x'"),
        ("a + True", 5, "a constant must be a number, got True"),
        ("a + 2j", 5, "a constant must be a number"),
        ("a * 1e999", 5, "too large"),
        ("a * 1" + "0" * 400, 5, "too large"),
        ("a | b", 1, "operator is not allowed"),
        ("a in b", 6, "after `in` stands a list"),
        ("a in []", 6, "after `in` stands a list"),
        ("a in [1, 'x']", 7, "texts or numbers, not both"),
        ("a + 'x' == b", 5, "a constant must be a number, got 'x'"),
        ("a + 1 == 'x'", 1, "only a column can be compared with text"),
        ("a < 'x'", 1, "only be compared by ==, != and in"),
        ("'x' == 'y'", 1, "a constant must be a number, got 'x'"),
        ("starts_with(a + 1, 'x')", 13, "only a column can be compared with text"),
        ("starts_with(a, b)", 1, "takes a column and a text in quotes"),
        ("contains(a)", 1, "takes a column and a text in quotes"),
        ("start_with(a, 'x')", 1, "did you mean starts_with?"),
        ("a > date('2026-13-01')", 5, "date takes one date or time in quotes"),
        ("a > date(b)", 5, "date takes one date or time in quotes"),
        ("a > date('2026-01-01T00:00+01:00')", 5, "no time zone"),
        ("lambda: a", 1, "not allowed"),
        ("[a for a in b]", 1, "not allowed"),
        ("(a := b)", 2, "not allowed"),
        ("log(a, b)", 1, "log takes 1 arguments, got 2"),
        ("min(a)", 1, "min takes 2 or more arguments, got 1"),
        ("log(x=a)", 1, "no named arguments"),
        ("log(*a)", 5, "not allowed"),
        ("a.log(b)", 1, "only a function by its name"),
        ("column(a)", 1, "one name in quotes"),
        ("__import__('os')", 1, "there is no function __import__"),
        ("a" + " + a" * 300, None, "nested too deeply"),
        ("(" * 300 + "a" + ")" * 300, None, "nested"),
        ("a" * 2001, None, "at most 2000 characters"),
        ("a\x00b", None, "null bytes"),
        ("a; b", 2, "invalid syntax"),
    ],
)
def test_refusals_point_into_the_text(text, column, what):
    with pytest.raises(UserError, match=re.escape(what)) as caught:
        parse(text)
    if column is not None:
        assert str(caught.value.where).endswith(f"column {column}")


def test_a_config_tells_where_a_formula_is_wrong():
    with pytest.raises(ValidationError, match=r"formula 'a \+ b\[0\]', column 5: this is not allowed"):
        Formula("a + b[0]", "x")
    with pytest.raises(ValidationError, match="the formula names no column"):
        Formula("1 + 2", "x")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("s == 'a'", [1.0, 0.0, 0.0, None]),
        ("'a' == s", [1.0, 0.0, 0.0, None]),
        ("s != 'a'", [0.0, 1.0, 1.0, None]),
        ("s in ['a', 'é b', 'zz']", [1.0, 0.0, 1.0, None]),
        ("s not in ('a', 'b')", [0.0, 0.0, 1.0, None]),
        ("2 if s == 'b' else 5", [5.0, 2.0, 5.0, 5.0]),
        ("is_null(s) * 3 + (s == 'b') * 0", [0.0, 0.0, 0.0, None]),
        ("is_null(s)", [0.0, 0.0, 0.0, 1.0]),
    ],
)
def test_strings_are_compared_and_served(text, values):
    frame = pl.DataFrame({"s": ["a", "b", "é b", ""]})
    fitted = Workflow(["s"] >> Formula(text, "made")).fit(frame)
    assert fitted.transform(frame).collect()["made"].to_list() == values
    assert_same(fitted, Served(fitted), frame)


def test_numbers_in_a_list_and_moments():
    assert compute("a in [1, 3, b]", a=3.0, b=5.0) == 1.0
    assert compute("a not in [1, 2, b]", a=3.0, b=5.0) == 1.0
    assert compute("a in [1, b]", a=None, b=5.0) is None
    assert compute("a == date('1970-01-01 00:00:01') + 0 * b", a=1e6, b=1.0) == 1.0
    frame = pl.DataFrame({"t": [dt.datetime.fromisoformat(f"2026-01-31T{hour}") for hour in (11, 12)]})
    fitted = Workflow(["t"] >> Formula("t >= date('2026-01-31 12:00')", "made")).fit(frame)
    assert fitted.transform(frame).collect()["made"].to_list() == [0.0, 1.0]


def test_a_long_list_is_no_deep_formula():
    numbers = ", ".join(map(str, range(400)))
    assert compute(f"a in [{numbers}] and b > 0", a=399.0, b=1.0) == 1.0


@pytest.mark.parametrize(
    "text",
    ["<=".join("a" * 600) + "<b", " or ".join("a" * 390) + " or b", " and ".join("a" * 330) + " and b"],
    ids=["comparisons", "or", "and"],
)
def test_a_long_chain_is_no_deep_formula(text):
    assert compute(text, a=0.5, b=1.0) == 1.0
    assert compute(text, a=0.5, b=0.0) == ("or" in text)
    assert compute(text, a=0.5, b=None) is None


def test_texts_that_a_graph_cannot_look_into_are_for_filters():
    with pytest.raises(ValidationError, match="starts_with can be used in filters only"):
        Formula("starts_with(a, 'x') * 2", "made")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s > 1", "takes a number, got string; compare it with text in quotes"),
        ("i == 'x'", "takes text, got int64; compare it with numbers"),
        ("log(s)", "takes a number, got string"),
        ("i in ['1', '2']", "takes text, got int64"),
        ("l > 1", "takes a number, got lists of int64"),
        ("is_null(l)", "takes single values, got lists of int64"),
    ],
)
def test_strings_and_numbers_are_told_apart(text, told):
    frame = pl.DataFrame({"s": ["a"], "i": [1], "l": [[1]]})
    with pytest.raises(UserError, match=re.escape(told)):
        Workflow(["i"] >> Filter(text)).fit(frame).transform(frame)


def test_names_come_once_and_in_order():
    assert names(parse("b * log(a) + b - column('c d')")) == ("b", "a", "c d")


def test_polars_and_onnx_know_the_same_functions():
    assert polars.FUNCTIONS.keys() == onnx.FUNCTIONS.keys() | {ONE_OF, *TESTS}
    assert polars.FUNCTIONS.keys() >= FUNCTIONS.keys()


_LEAVES = st.sampled_from(["a", "b", "0", "1", "2.5", "-3"])
_UNARY = ["-({})", "not ({})", *(f"{name}({{}})" for name in ("abs", "ceil", "floor", "is_null", "log1p", "sqrt"))]
_BINARY = [f"({{}}) {sign} ({{}})" for sign in ("+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!=", "and", "or")]
_FORMULAS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(str.format, st.sampled_from(_UNARY), inner),
        st.builds(
            str.format, st.sampled_from([*_BINARY, "min({}, {})", "max({}, {})", "fill_null({}, {})"]), inner, inner
        ),
        st.builds(str.format, st.just("where({}, {}, {})"), inner, inner, inner),
    ),
    max_leaves=6,
)
_NUMBERS = st.lists(
    st.none() | st.sampled_from([0.0, 1.0, -1.0, 0.5, math.inf, -math.inf, 3.0]), min_size=2, max_size=2
)


@given(_FORMULAS, st.lists(_NUMBERS, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_formula_is_served_as_it_is_computed(text, rows):
    frame = pl.DataFrame(rows, schema={"a": pl.Float64, "b": pl.Float64}, orient="row")
    fitted = Workflow(["a", "b"] >> Formula(f"where(is_null(a) == 2, b, {text})", "made")).fit(frame)
    assert_same(fitted, Served(fitted), frame)
