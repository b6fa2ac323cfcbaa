"""join_groupby on rows whose answer is worked out by hand, or by Polars' own grouping."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from core.dataset import ROW
from core.errors import UserError
from etl import Fitted, Workflow
from etl.ops import JoinGroupby, LogOp

ALL = ("count", "sum", "mean", "std", "var", "min", "max")
ROWS = pl.DataFrame(
    {
        "shop": ["a", "a", "a", "b", "c", None],
        "price": [1.0, 3.0, None, 5.0, None, 7.0],
        "pieces": [1, 2, 6, 4, 5, None],
    }
)


def fit(operator: JoinGroupby, frame: pl.DataFrame = ROWS, columns: Any = ("shop",)) -> Fitted:
    return Workflow(list(columns) >> operator).fit(frame)


def test_every_statistic_by_hand():
    made = fit(JoinGroupby("price", ALL)).transform(pl.DataFrame({"shop": ["a", "b", "c", None, "new"]})).collect()
    expected = {
        "shop_count": [3, 1, 1, 1, 0],
        "shop_price_sum": [4, 5, 0, 7, None],
        "shop_price_mean": [2, 5, None, 7, None],
        # Of 1 and 3: squares 1 + 1 over n - 1.
        "shop_price_std": [math.sqrt(2), None, None, None, None],
        "shop_price_var": [2, None, None, None, None],
        "shop_price_min": [1, 5, None, 7, None],
        "shop_price_max": [3, 5, None, 7, None],
    }
    assert_frame_equal(made, pl.DataFrame(expected, schema=made.schema), rel_tol=1e-6)


def test_integers_and_several_numbers():
    made = fit(JoinGroupby(["price", "pieces"], ["max", "sum"])).transform(ROWS[:1]).collect()
    assert made.columns == ["shop_price_max", "shop_price_sum", "shop_pieces_max", "shop_pieces_sum"]
    assert made.row(0) == (3.0, 4.0, 6.0, 9.0)


def test_the_count_alone_needs_no_numbers():
    assert fit(JoinGroupby()).transform(ROWS).collect().to_series().to_list() == [3, 3, 3, 1, 1, 1]


def test_several_columns_are_one_key():
    frame = pl.DataFrame({"a": ["x", "x", "y", None], "b": [1, 1, 1, 1], "c": [1, 2, 3, 4]})
    fitted = fit(JoinGroupby("c", ["sum", "count"], name_sep="/"), frame, [["a", "b"], "b"])
    made = fitted.transform(pl.DataFrame({"a": ["x", None, "z"], "b": [1, 1, 1]})).collect()
    assert made.to_dict(as_series=False) == {
        "a/b/count": [2, 1, 0],
        "a/b/c/sum": [3, 4, None],
    } | {name: made[name].to_list() for name in made.columns[2:]}


def test_what_an_operator_made_can_be_the_number():
    node = (["price"] >> LogOp()) + ["shop"]
    made = Workflow(node >> JoinGroupby("price", ["max"])).fit(ROWS).transform(ROWS).collect()
    assert made.columns == ["shop_price_max"]
    assert made.item(0, 0) == pytest.approx(math.log(4))


def test_the_spread_far_from_zero():
    frame = pl.DataFrame({"k": [1] * 4 + [2] * 3, "x": [1e9 - 1, 1e9, 1e9 + 1, 1e9, 0.1, 0.1, 0.1]})
    made = fit(JoinGroupby("x", ["var"]), frame, ["k"]).transform(pl.DataFrame({"k": [1, 2]})).collect()
    assert made["k_x_var"].to_list() == [pytest.approx(2 / 3, rel=1e-6), 0.0]


def many(rows: int) -> pl.DataFrame:
    frame = pl.DataFrame(
        {"k": [n * n % 17 for n in range(rows)], "x": [math.sin(n) * 10 ** (n % 5) for n in range(rows)]}
    )
    return frame.with_columns(x=pl.when(pl.col("k") != 4).then("x")).with_row_index(ROW)


def test_as_polars_groups():
    frame = many(5_000)
    made = fit(JoinGroupby("x", ALL), frame, ["k"]).transform(frame, keep=[ROW]).collect()
    x = pl.col("x")
    expected = frame.select(
        ROW,
        pl.len().over("k").alias("k_count"),
        *(getattr(x, stat)().over("k").alias(f"k_x_{stat}") for stat in ALL[1:]),
    )
    assert_frame_equal(made, expected.cast(dict(made.schema)), rel_tol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_no_order_of_rows_changes_a_bit(seed):
    frame = many(20_000)
    states = [
        fit(JoinGroupby("x", ALL), rows, ["k"]).steps[0].state.tables()
        for rows in (frame, frame.sample(fraction=1.0, shuffle=True, seed=seed))
    ]
    assert all(table.equals(states[1][name]) for name, table in states[0].items())


def test_an_update_is_as_a_fit_on_all():
    frame = many(2_000)
    whole = fit(JoinGroupby("x", ALL), frame, ["k"]).transform(frame).collect()
    # The first part has no row of most keys.
    parts = fit(JoinGroupby("x", ALL), frame[:3], ["k"]).update(frame[3:900]).update(frame[900:])
    assert_frame_equal(parts.transform(frame).collect(), whole, rel_tol=1e-6)


def test_an_update_may_bring_integers_where_floats_were():
    first = pl.DataFrame({"k": [1, 2], "x": [0.5, 0.25]})
    later = pl.DataFrame({"k": [1, 1], "x": [1, 2]})
    whole = fit(JoinGroupby("x", ALL), pl.concat([first, later.cast({"x": pl.Float64})]), ["k"])
    parts = fit(JoinGroupby("x", ALL), first, ["k"]).update(later)
    assert_frame_equal(parts.transform(first).collect(), whole.transform(first).collect(), rel_tol=1e-6)


class TestRefused:
    def test_statistics_of_nothing(self):
        with pytest.raises(ValidationError, match="cont_cols must name the columns whose mean"):
            JoinGroupby(stats=["count", "mean"])

    def test_an_unknown_statistic(self):
        with pytest.raises(ValidationError, match="stats"):
            JoinGroupby("price", stats=["median"])

    def test_text(self):
        with pytest.raises(UserError, match="column t: join_groupby takes numbers"):
            fit(JoinGroupby("t", ["mean"]), pl.DataFrame({"k": [1], "t": ["a"]}), ["k"])

    def test_real_numbers_as_keys(self):
        with pytest.raises(UserError, match="column price: join_groupby takes whole numbers"):
            fit(JoinGroupby(), pl.DataFrame({"price": [0.5]}), ["price"])

    def test_infinite_values(self):
        with pytest.raises(UserError, match="column x: the values are too large"):
            fit(JoinGroupby("x", ["mean"]), pl.DataFrame({"k": [1], "x": [math.inf]}), ["k"])

    def test_a_setting_of_nvtabular_without_a_meaning_here(self):
        with pytest.raises(ValidationError, match="out_path has no meaning here"):
            JoinGroupby(out_path="x")
