"""The part of a workflow that is served, and what windows make of users and items at the end of the data."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dataset import ROW, Dataset
from core.errors import UserError
from core.schema import OTHER_ROWS, DType, Tag
from etl.fitted import Fitted
from etl.ops import Categorify, FillMissing, Groupby, History, Lag, LogOp, Rename, Rolling
from etl.serving import for_serving, given_columns, serving_rows
from etl.workflow import Workflow
from train.pairs import side_features

from .conftest import Desk, log, users

TIME = {"time": "at", "unit": "s"}
FRAME = pl.DataFrame(
    {
        "user": [1, 1, 2, 1, 2],
        "item": ["a", "b", "a", "a", "c"],
        "price": [0.1, 0.2, 0.4, 0.8, 1.6],
        "at": [10, 20, 30, 40, 50],
    }
)
TAGS = {"user": {Tag.USER, Tag.USER_ID}, "item": {Tag.ITEM, Tag.ITEM_ID}, "price": {Tag.ITEM}, "at": {Tag.CONTEXT}}


def test_what_windows_make_is_given_by_the_side_that_it_belongs_to() -> None:
    node = (["user", "item"] >> History("count", **TIME)) + (["price"] >> Lag(["user"], **TIME))
    joint = [["user", "item"]] >> Rolling("count", window=15, **TIME)
    of_both = ["price"] >> Lag(["user", "item"], 2, **TIME)
    served = for_serving(Workflow(node, joint, of_both, tags=TAGS).fit(FRAME))
    sides = {column.name: set(column.tags & {Tag.USER, Tag.ITEM, Tag.CONTEXT}) for column in served.input_schema}
    assert sides == {
        "user_history_count": {Tag.USER},
        "item_history_count": {Tag.ITEM},
        "price_lag_1": {Tag.USER},
        "user_item_rolling_15s_count": set(),
        "price_lag_2": {Tag.CONTEXT},
    }
    assert served.steps == ()


@given(order=st.permutations(range(5)), late=st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_rows_as_callers_give_them_make_the_same_features(order: list[int], late: int) -> None:
    node = ["user", "item"] >> History(["count", "mean", "since_last"], "price", **TIME) >> FillMissing(0.1) >> LogOp()
    other = ["item"] >> Lag("user", **TIME) >> Categorify()
    fitted = Workflow(["user"] >> Categorify(), node, other, tags=TAGS).fit(FRAME)
    frame = FRAME[order].with_columns(pl.col("at") + pl.int_range(5) * late).with_row_index(ROW)
    rows = serving_rows(fitted, frame.lazy(), keep=[ROW]).collect()
    served = for_serving(fitted)
    assert set(rows.columns) == {ROW, *served.input_schema.names}
    # Not a bit is lost on the way: what is given is float64.
    assert rows.schema["user_history_since_last"] == pl.Float64
    assert served.transform(rows).collect().equals(fitted.transform(frame).collect())


def test_one_row_is_served_alone() -> None:
    fitted = Workflow(["user"] >> History("count", **TIME) >> FillMissing(0) >> LogOp(), tags=TAGS).fit(FRAME)
    one = pl.DataFrame({"user_history_count": [None, 3.0]})
    made = for_serving(fitted).transform(one).collect()
    assert made["user_history_count"].to_list() == pytest.approx([0.0, 1.3862944], rel=1e-6)


def test_names_that_clash_are_told() -> None:
    frame = FRAME.with_columns(user_history_count=1)
    node = ["user"] >> History("count", **TIME) >> LogOp() >> Rename(name="made")
    fitted = Workflow(["user_history_count"] >> LogOp(), node).fit(frame)
    with pytest.raises(UserError, match="another input has that name") as caught:
        for_serving(fitted)
    assert "rename" in str(caught.value.cure)


def test_what_can_be_served_in_no_way_is_named() -> None:
    fitted = Workflow(["user", "price"] >> Groupby("user", aggs={"price": "mean"})).fit(FRAME)
    with pytest.raises(UserError, match="groupby can't be served"):
        for_serving(fitted)


# -- in a data set

HISTORY = [
    {"columns": ["user_id", "item_id"], "ops": ["categorify"]},
    {
        "columns": ["user_id", "city"],
        "ops": [{"history": {"stats": ["count", "rate", "since_last"], "unit": "s", "prior": 0.5}}, "fill_missing"],
    },
    {"columns": ["item_id"], "ops": [{"rolling": {"window": 20, "unit": "s"}}, "fill_missing"]},
    {
        "columns": ["item_id"],
        "ops": [{"lag": {"partition_cols": "user_id", "time": "stamp", "unit": "s"}}, "categorify"],
    },
    {"columns": ["device"], "ops": ["categorify"]},
]


@pytest.fixture
def prepared(desk: Desk) -> Dataset:
    desk.spec["features"] = HISTORY
    return desk.prepare()


def test_the_raw_schema_and_sample_hold_what_callers_give(prepared: Dataset) -> None:
    fitted = Fitted.load(prepared.workflow_dir)
    schema, sample = prepared.raw_schema(), pl.read_parquet(prepared.sample_file)
    assert tuple(sample.columns) == schema.names
    assert set(given_columns(fitted)) <= set(schema.names)
    assert not [name for name in schema.names if name.startswith("__")], "neither target nor time are asked for"
    assert schema["item_id_lag_1"].dtype is DType.STRING
    assert schema["user_id_history_count"].nullable
    served = for_serving(fitted).transform(sample).collect()
    written = pl.read_parquet(prepared.files("test"))
    rows = written.select(served.columns).sort(served.columns)
    assert served.sort(served.columns).equals(rows), "the sample is of all test rows here"


def test_the_latest_values_are_those_of_the_next_event(prepared: Dataset) -> None:
    """As if each user, and each item, came back just after the last row."""
    users, latest = pl.read_parquet(prepared.entity_file("users")), pl.read_parquet(prepared.latest_file("user"))
    rows = log()
    end = rows["stamp"].max() + 1
    liked = rows.with_columns(liked=pl.col("rating") >= 4).join(users, on="user_id", how="left")
    for user, one in zip(users.iter_rows(named=True), latest.iter_rows(named=True), strict=True):
        for key in ("user_id", "city"):
            own = liked.filter(pl.col(key).eq_missing(pl.lit(user[key])))
            known = user[key] is not None
            assert one[f"{key}_history_count"] == (own.height if known else None)
            since = end - own["stamp"].max() if own.height and known else None
            assert one[f"{key}_history_since_last"] == since
            rate = (own["liked"].sum() + 20 * 0.5) / (own.height + 20)
            assert one[f"{key}_history_rate"] == (pytest.approx(rate) if known else None)
        # Of equal times the later row is the later event.
        own = liked.filter(pl.col("user_id") == user["user_id"]).with_row_index().sort("stamp", "index")
        assert one["item_id_lag_1"] == (own["item_id"][-1] if own.height else None)


def test_the_moment_after_the_data_is_a_day_of_dates_and_a_microsecond_of_times(desk: Desk) -> None:
    at = pl.datetime(2026, 1, 1) + pl.duration(days=pl.col("stamp"))
    rows = log().with_columns(moment=at, day=at.cast(pl.Date))
    joined = users().with_columns(since=pl.lit("2020-01-01").str.to_date())
    desk.sources["interactions"] = {"path": desk.write("timed.parquet", rows)}
    desk.sources["users"] = {"path": desk.write("joined.parquet", joined)}
    desk.spec["features"] = [
        {"columns": [key], "ops": [{"history": {"stats": stat, "time": time}}, "fill_missing"]}
        for key, time, stat in [
            ("user_id", "moment", "since_last"),
            ("item_id", "day", "since_last"),
            # A column of the users themselves: the moment after the data stands in for theirs.
            ("city", "since", "count"),
        ]
    ]
    made = desk.prepare()
    for side, key, more in [("user", "user_id", 1e-6), ("item", "item_id", 86_400)]:
        ids, latest = pl.read_parquet(made.entity_file(f"{side}s")), pl.read_parquet(made.latest_file(side))
        wanted = [
            (rows["stamp"].max() - own["stamp"].max()) * 86_400 + more if own.height else None
            for own in (rows.filter(pl.col(key) == one) for one in ids[key])
        ]
        known = [None if one is None else pytest.approx(one, abs=1e-9, rel=1e-14) for one in wanted]
        assert latest[f"{key}_history_since_last"].to_list() == known


def test_latest_values_of_items(prepared: Dataset) -> None:
    items, latest = pl.read_parquet(prepared.entity_file("items")), pl.read_parquet(prepared.latest_file("item"))
    rows = log()
    end = rows["stamp"].max() + 1
    wanted = [
        rows.filter((pl.col("item_id") == item) & (pl.col("stamp") >= end - 20)).height for item in items["item_id"]
    ]
    assert latest["item_id_rolling_20s_count"].to_list() == wanted
    assert latest.columns == ["item_id_rolling_20s_count"]


def test_users_and_items_alone_have_no_history(prepared: Dataset) -> None:
    schema = prepared.schema()
    assert schema["user_id_history_count"].properties[OTHER_ROWS] is True
    assert side_features(prepared, "user").continuous == ()
    assert side_features(prepared, "user").categorical == ("user_id",)


def test_a_data_set_without_windows_has_no_latest_values(desk: Desk) -> None:
    made = desk.prepare()
    assert not made.latest_file("user").exists()
    assert OTHER_ROWS not in made.schema()["age"].properties


def test_sessions_reach_models_by_their_numbers_alone(desk: Desk) -> None:
    sessions: dict[str, Any] = {"gap": "30m", "unit": "s"}
    desk.spec["features"] = [{"columns": ["user_id"], "ops": [{"sessions": sessions}]}]
    with pytest.raises(UserError, match="can't read int64"):
        desk.prepare()
    sessions["stats"] = ["number", "position"]
    assert desk.prepare().schema().names[-2:] == ("user_id_session_number", "user_id_session_position")
