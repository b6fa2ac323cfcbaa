"""Operators over earlier events: against loops in Python, on drawn events with ties, nulls and several keys."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.dataset import TARGET, TIME
from core.errors import UserError
from core.schema import Tag
from etl.fitted import Fitted
from etl.ops import Categorify, DifferenceLag, History, Lag, Normalize, Rolling, Sessionize, TimeFeatures
from etl.ops.windows.clock import seconds
from etl.workflow import Workflow

Row = dict[str, Any]

SCHEMA = {
    "user": pl.Int64(),
    "shop": pl.String(),
    "at": pl.Int64(),
    "price": pl.Float64(),
    "label": pl.Int8(),
}
ODD = (float("inf"), float("nan"))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user": st.sampled_from([1, 2, None]),
            "shop": st.sampled_from(["a", "b", None]),
            "at": st.integers(-20, 20) | st.none(),
            "price": st.sampled_from([None, 0.5, -1.25, 7.0, *ODD]),
            "label": st.sampled_from([0, 1, None]),
        }
    ),
    min_size=1,
    max_size=14,
)
TEACHER = {"user": 9, "shop": "z", "at": 500, "price": 1.0, "label": 1}
"""A row that gives every column a value; far off in time, and of a key of its own."""


def frame_of(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame([*rows, TEACHER], schema=SCHEMA, orient="row")


def made(rows: list[Row], node: Any) -> list[Row]:
    """What a workflow, fitted on the teacher alone, gives: infinite values are refused in a fit."""
    return list(Workflow(node).fit(frame_of([])).transform(frame_of(rows)).collect().iter_rows(named=True))


def earlier(rows: list[Row], row: Row, keys: list[str], *, delay: int = 0, window: float = float("inf")) -> list[Row]:
    """The events that a row may see, earliest first; None where it has no key or time."""
    if any(row[name] is None for name in [*keys, "at"]):
        return []
    seen = [
        one
        for one in rows
        if one["at"] is not None
        and all(one[name] == row[name] for name in keys)
        and row["at"] - delay - window <= one["at"] < row["at"] - delay
    ]
    return sorted(seen, key=lambda one: one["at"])


def known(row: Row, keys: list[str]) -> bool:
    return all(row[name] is not None for name in [*keys, "at"])


def _at(clock: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"2026-01-01T{clock}")


def finite(seen: list[Row], name: str) -> list[float]:
    return [one[name] for one in seen if one[name] is not None and abs(one[name]) < 1e300]


def rate_of(seen: list[Row], p_smooth: float, prior: float) -> float:
    labels = finite(seen, "label")
    return (sum(labels) + p_smooth * prior) / (len(labels) + p_smooth)


@given(rows=ROWS, delay=st.sampled_from([0, 1, 7]))
@settings(max_examples=80, deadline=None)
def test_history_is_what_a_loop_finds(rows: list[Row], delay: int) -> None:
    stats = ["count", "sum", "mean", "rate", "since_last", "since_first"]
    operator = History(stats, "price", "label", delay, p_smooth=2, prior=0.25, time="at", unit="s")
    found = made(rows, [["user", "shop"]] >> operator)
    for row, got in zip(rows, found, strict=False):
        seen = earlier(rows, row, ["user", "shop"], delay=delay)
        prices = finite(seen, "price")
        wanted: list[float | None] = [None] * 6
        if known(row, ["user", "shop"]):
            mean = pytest.approx(sum(prices) / len(prices), rel=1e-6) if prices else None
            since = [row["at"] - seen[-1]["at"], row["at"] - seen[0]["at"]] if seen else [None, None]
            wanted = [len(seen), sum(prices), mean, pytest.approx(rate_of(seen, 2, 0.25), rel=1e-6), *since]
        assert list(got.values()) == wanted


@given(rows=ROWS, delay=st.sampled_from([0, 3]))
@settings(max_examples=80, deadline=None)
def test_rolling_is_what_a_loop_finds(rows: list[Row], delay: int) -> None:
    operator = Rolling(
        ["count", "sum", "mean", "rate"], "price", "label", delay, 1, 0.5, "at", "s", window=[5, "10s", "1h"]
    )
    found = made(rows, ["user"] >> operator)
    for row, got in zip(rows, found, strict=False):
        wanted: list[float | None] = []
        for window in (5, 10, 3600):
            seen = earlier(rows, row, ["user"], delay=delay, window=window)
            prices = finite(seen, "price")
            mean = pytest.approx(sum(prices) / len(prices), rel=1e-6) if prices else None
            one = [len(seen), sum(prices), mean, pytest.approx(rate_of(seen, 1, 0.5), rel=1e-6)]
            wanted += one if known(row, ["user"]) else [None] * 4
        assert list(got.values()) == wanted


@given(rows=ROWS, delay=st.sampled_from([0, 2]))
@settings(max_examples=80, deadline=None)
def test_lag_is_what_a_loop_finds(rows: list[Row], delay: int) -> None:
    found = made(rows, ["price", "shop"] >> Lag("user", [1, 2, 4], delay, "at", "s"))
    for row, got in zip(rows, found, strict=False):
        seen = earlier(rows, row, ["user"], delay=delay)
        for shift in (1, 2, 4):
            held = seen[-shift] if len(seen) >= shift else {"price": None, "shop": None}
            price = None if held["price"] != held["price"] else held["price"]
            assert (got[f"price_lag_{shift}"], got[f"shop_lag_{shift}"]) == (price, held["shop"])


@given(rows=ROWS, shift=st.sampled_from([1, 3, -1, -2]), timed=st.booleans())
@settings(max_examples=80, deadline=None)
def test_difference_lag_is_what_a_loop_finds(rows: list[Row], shift: int, *, timed: bool) -> None:
    finite_rows = [{**row, "price": None if row["price"] in (*ODD, None) else row["price"]} for row in rows]
    operator = DifferenceLag(["user", "shop"], shift, "at" if timed else None, future=True)
    found = [got[f"price_difference_lag_{shift}"] for got in made(finite_rows, ["price"] >> operator)]
    numbered = [(number, row) for number, row in enumerate(finite_rows) if not timed or row["at"] is not None]
    ordered = sorted(numbered, key=lambda one: (one[1]["at"] if timed else 0, one[0]))
    for number, row in enumerate(finite_rows):
        mine = [one for one, other in ordered if all(other[name] == row[name] for name in ("user", "shop"))]
        wanted = None
        if number in mine and row["user"] is not None and row["shop"] is not None:
            place = mine.index(number) - shift
            if 0 <= place < len(mine):
                other = finite_rows[mine[place]]["price"]
                wanted = None if None in (row["price"], other) else row["price"] - other
        assert found[number] == wanted


@given(rows=ROWS, gap=st.sampled_from([1, 4, 30]))
@settings(max_examples=80, deadline=None)
def test_sessions_are_what_a_loop_finds(rows: list[Row], gap: int) -> None:
    stats = ["id", "number", "position", "elapsed", "pause"]
    found = [list(got.values()) for got in made(rows, ["user"] >> Sessionize(gap, stats, "at", "s"))]
    for user in (1, 2):
        mine = sorted((row["at"], at) for at, row in enumerate(rows) if row["user"] == user and row["at"] is not None)
        number = position = start = first = 0
        before = None
        for time, at in mine:
            pause = None if before is None else time - before
            if pause is None or pause > gap:
                number, position, start, first = number + 1, 0, time, at
            position, before = position + 1, time
            assert found[at] == [first, number, position, time - start, pause]
    nobody = [at for at, row in enumerate(rows) if row["user"] is None or row["at"] is None]
    assert all(found[at] == [None] * 5 for at in nobody)


# -- leaks

SEES_LABELS: dict[str, Callable[[], Any]] = {
    "history": lambda: ["user"] >> History(["rate", "sum", "mean"], "label", "label", prior=0.5, time="at", unit="s"),
    "delayed": lambda: ["shop"] >> History("rate", target="label", delay=3, prior=0.5, time="at", unit="s"),
    "rolling": lambda: ["user"] >> Rolling(["rate", "sum"], "label", "label", window=9, prior=0.5, time="at", unit="s"),
    "lag": lambda: ["label"] >> Lag("user", [1, 2], time="at", unit="s"),
}


@pytest.mark.parametrize("name", SEES_LABELS)
@given(rows=ROWS, data=st.data())
@settings(max_examples=40, deadline=None)
def test_no_label_of_the_row_of_its_moment_or_of_later_is_seen(name: str, rows: list[Row], data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(rows))
    number = rows.index(row)
    hidden = [
        {**one, "label": data.draw(st.sampled_from([0, 1, None]))}
        if row["at"] is None or _not_before(one, row)
        else one
        for one in rows
    ]
    node = SEES_LABELS[name]
    assert made(rows, node())[number] == made(hidden, node())[number]


def _not_before(one: Row, row: Row) -> bool:
    return row["at"] is None or one["at"] is None or one["at"] >= row["at"]


def test_the_prior_is_learned_from_training_rows_alone() -> None:
    frame = pl.DataFrame({"user": [1, 2, 3, 4], "at": [1, 2, 3, 4], "label": [1, 0, 0, 0]})
    history = History("rate", target="label", p_smooth=1, time="at", unit="s")
    fitted = Workflow(["user"] >> history).fit(frame, only=pl.col("at") <= 2)
    assert fitted.transform(frame).collect()["user_history_rate"].to_list() == [0.5] * 4


def test_the_prior_is_the_mean_of_real_numbers_too() -> None:
    frame = pl.DataFrame({"user": [1, 2, 3], "at": [1, 2, 3], "label": [0.25, 0.5, 1.5]})
    fitted = Workflow(["user"] >> History("rate", target="label", time="at", unit="s")).fit(frame)
    assert fitted.transform(frame).collect()["user_history_rate"].to_list() == [0.75] * 3


# -- what stands around them


def test_a_lag_of_ids_has_the_padding_where_there_is_no_event() -> None:
    frame = pl.DataFrame({"user": [1, 1, 2, None], "at": [1, 2, 3, 4], "film": ["a", "b", "a", "b"]})
    fitted = Workflow(["film"] >> Categorify() >> Lag("user", [1, 2], time="at", unit="s")).fit(frame)
    made = fitted.transform(frame).collect()
    ids = Workflow(["film"] >> Categorify()).fit(frame).transform(frame).collect()["film"]
    assert made["film_lag_1"].to_list() == [0, ids[0], 0, 0]
    assert made["film_lag_2"].to_list() == [0] * 4
    assert ids[0] > 0
    assert not fitted.schema["film_lag_1"].nullable


def test_differences_of_large_whole_numbers_are_exact_and_those_of_infinite_ones_null() -> None:
    frame = pl.DataFrame({"user": [1, 1, 1], "n": [2**60, 2**60 + 1, None], "x": [math.inf, math.inf, 1.0]})
    made = Workflow(["n", "x"] >> DifferenceLag("user")).fit(frame).transform(frame).collect()
    assert made["n_difference_lag_1"].to_list() == [None, 1.0, None]
    assert made["x_difference_lag_1"].to_list() == [None, None, -math.inf]


def test_an_update_without_any_time_keeps_the_range() -> None:
    frame = pl.DataFrame({"user": [1, 2], "at": [3, 9]})
    fitted = Workflow(["user"] >> History("count", time="at", unit="s")).fit(frame)
    timeless = frame.with_columns(at=pl.lit(None, pl.Int64))
    assert fitted.update(timeless).steps[0].state == fitted.steps[0].state


def test_the_order_of_rows_changes_no_history() -> None:
    frame = pl.DataFrame({"id": range(40), "user": [n % 3 for n in range(40)], "at": [n * 7 % 40 for n in range(40)]})
    history = Workflow(["user"] >> History(["count", "since_last"], time="at", unit="s"))
    fitted = history.fit(frame)
    one = fitted.transform(frame, keep=["id"]).collect()
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=1)
    assert fitted.transform(shuffled, keep=["id"]).collect().sort("id").equals(one)


def test_a_window_sees_the_rows_that_the_fit_does_not_learn_from() -> None:
    frame = pl.DataFrame({"user": [1] * 6, "at": range(6)})
    node = ["user"] >> History("count", time="at", unit="s") >> Normalize()
    fitted = Workflow(node).fit(frame, only=pl.col("at") >= 4)
    # Counts of the two training rows: 4 and 5.
    assert fitted.steps[-1].state.to_json()["mean"] == {"user_history_count": 4.5}


def test_a_session_is_a_key_of_what_follows() -> None:
    frame = pl.DataFrame({"user": [1, 1, 1, 2], "at": [0, 10, 5000, 5000]})
    time = {"time": "at", "unit": "s"}
    node = ["user"] >> Sessionize("30m", **time) >> History("count", **time)
    made = Workflow(node).fit(frame).transform(frame).collect()
    assert made.to_dict(as_series=False) == {"user_session_history_count": [0.0, 1.0, 0.0, 0.0]}


def test_a_session_is_the_users_but_no_user() -> None:
    tags = {"user": {Tag.USER, Tag.USER_ID, Tag.CATEGORICAL}}
    node = ["user"] >> Sessionize("30m", ["id", "number"], time="at", unit="s")
    fitted = Workflow(node, tags=tags).fit(pl.DataFrame({"user": [1, 1], "at": [0, 10]}))
    assert fitted.schema["user_session"].tags == {Tag.USER, Tag.SESSION_ID}
    assert fitted.schema["user_session_number"].tags == {Tag.USER, Tag.CONTINUOUS}


def test_windows_one_after_another_compute_each_window_once() -> None:
    frame = pl.DataFrame({f"k{n}": [1, 1] for n in range(6)} | {"at": [1, 2]})
    nodes = [[f"k{n}"] >> History("count", time="at", unit="s") for n in range(6)]
    plan = Workflow(*nodes).fit(frame).transform(frame).explain(optimized=False)
    # Two joins each: events with their marks, and the result with its row.
    assert plan.count("LEFT PLAN ON") == 12


def test_saved_durations_come_back_as_they_were_written(tmp_path: Any) -> None:
    frame = pl.DataFrame({"user": [1, 1], "at": [1, 2]})
    fitted = Workflow(["user"] >> Rolling("count", window=[90, "7d", 0.5], time="at", unit="ms")).fit(frame)
    fitted.save(tmp_path / "w")
    assert Fitted.load(tmp_path / "w").schema.names == (
        "user_rolling_90s_count",
        "user_rolling_7d_count",
        "user_rolling_0.5s_count",
    )


def test_units_and_durations() -> None:
    frame = pl.DataFrame({"user": [1, 1], "ms": [0, 90_000]})
    got = Workflow(["user"] >> History("since_last", time="ms", unit="ms")).fit(frame).transform(frame).collect()
    assert got.item(1, 0) == 90.0
    stamped = pl.DataFrame({"user": [1, 1], "at": [_at("00:00"), _at("00:30")]})
    sessions = Workflow(["user"] >> Sessionize("30m", "number", "at")).fit(stamped).transform(stamped).collect()
    assert sessions.to_series().to_list() == [1.0, 1.0]
    assert [seconds(one) for one in ("90s", "1.5h", "2w", 7)] == [90, 5400, 1_209_600, 7]


@pytest.mark.parametrize(
    ("times", "cure"),
    [([1_700_000_000, 1_700_000_100], "unit: s"), ([1_700_000_000_000, 0], "unit: ms"), ([17 * 10**17, 0], "unit: ns")],
)
def test_numbers_that_are_no_microseconds_are_told(times: list[int], cure: str) -> None:
    frame = pl.DataFrame({"user": [1, 1], "at": times})
    with pytest.raises(UserError, match="column at|microseconds") as caught:
        Workflow(["user"] >> History(time="at")).fit(frame)
    assert caught.value.cure
    assert cure in caught.value.cure
    Workflow(["user"] >> History(time="at", unit="us")).fit(frame)


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_a_unit_beside_dates_and_times_is_refused(unit: Any) -> None:
    frame = pl.DataFrame({"user": [1, 1], "at": [_at("00:00"), _at("00:30")]})
    for node in (["user"] >> History(time="at", unit=unit), ["at"] >> TimeFeatures(unit=unit)):
        with pytest.raises(UserError, match=f"`unit: {unit}`, and read so they lie beyond the year 9999") as caught:
            Workflow(node).fit(frame)
        assert "leave `unit` out" in str(caught.value.cure)
    last = frame.select("user", at=pl.Series([0, 253_402_300_799 * {"s": 1, "ms": 1000}[unit]]))
    Workflow(["user"] >> History(time="at", unit=unit)).fit(last)


def test_nanoseconds_beside_dates_and_times_are_refused() -> None:
    frame = pl.DataFrame({"user": [1, 1], "at": [_at("00:00"), _at("00:30")]})
    for node in (["user"] >> History(time="at", unit="ns"), ["at"] >> TimeFeatures(unit="ns")):
        with pytest.raises(UserError, match=r"column at: .* `unit: ns`, and read so they lie in early 1970") as caught:
            Workflow(node).fit(frame)
        assert "leave `unit` out" in str(caught.value.cure)
    for day in (3, 50, 20_000):
        counted = frame.with_columns(at=pl.Series([0, day * 86_400 * 10**9]))
        Workflow(["user"] >> History(time="at", unit="ns")).fit(counted)


def test_times_that_are_none_are_refused() -> None:
    frame = pl.DataFrame({"user": [1, 1], "at": [0.5, 1.5], TIME: [0, 0], TARGET: [0.0, 1.0], "w": [1.5, 2.0]})
    with pytest.raises(UserError, match="got float64"):
        Workflow(["user"] >> History(time="at")).fit(frame)
    with pytest.raises(UserError, match="no time role"):
        Workflow(["user"] >> History("rate", unit="s")).fit(frame)
    with pytest.raises(UserError, match="takes integers or strings"):
        Workflow(["w"] >> History(time=TIME)).fit(frame)
    with pytest.raises(UserError, match="a key is a whole number or a text"):
        Workflow(["user"] >> DifferenceLag("w")).fit(frame).transform(frame).collect()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: DifferenceLag("user", -1), "leaks the future"),
        (lambda: DifferenceLag("user", 0), "must not be 0"),
        (lambda: Lag("user", -1), "from 1 on"),
        (lambda: History("mean"), "needs the columns"),
        (lambda: History("count", "price"), "neither"),
        (lambda: Rolling("since_last", window="1d"), "statistic of history"),
        (lambda: Rolling("count", window="7 moons"), "30m, 7d"),
        (lambda: Rolling("count", window=0), "longer than 0"),
        (lambda: History("count", delay=-5), "at least 0"),
        (lambda: Sessionize(0), "longer than 0"),
    ],
)
def test_wrong_settings_are_told(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        make()
