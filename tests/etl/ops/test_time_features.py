"""Time features: against Python's own calendar, over the whole of its years, before 1970 and in leap years."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import UserError
from core.schema import Tag
from etl.ops import Normalize, TimeFeatures
from etl.ops.calendar import PARTS, Moment, year_month_day
from etl.workflow import Workflow
from tests.contract.serving import Served, assert_same

ALL = [*PARTS, "year"]
_at = dt.datetime.fromisoformat


def of_python(at: dt.datetime) -> list[float]:
    clock = [at.hour, at.minute, at.weekday(), int(at.weekday() >= 5)]
    year = at.timetuple().tm_yday
    return [*clock, at.day, year, at.isocalendar().week, at.month, (at.month + 2) // 3, at.year]


@given(moments=st.lists(st.datetimes(), min_size=1, max_size=20))
@example(moments=[_at("2000-02-29T23:59:59.999999"), _at("1900-03-01"), _at("1969-12-31T23:59:59"), _at("0001-01-01")])
@example(moments=[_at("2020-12-31"), _at("2021-01-03"), _at("2024-12-30"), _at("9999-12-31T12:00"), _at("2100-02-28")])
@settings(max_examples=80, deadline=None)
def test_every_part_is_what_python_says(moments: list[dt.datetime]) -> None:
    frame = pl.DataFrame({"at": moments}, schema={"at": pl.Datetime("us")})
    fitted = Workflow(["at"] >> TimeFeatures(ALL, unit="us")).fit(frame)
    assert [list(row) for row in fitted.transform(frame).collect().rows()] == [of_python(at) for at in moments]


@pytest.mark.parametrize("year", [1582, 1600, 1900, 1968, 2000, 2023, 2024, 2100])
def test_every_day_of_a_year(year: int) -> None:
    first = dt.date(year, 1, 1).toordinal() - 719_163
    for number in range(first, first + 366):
        day = dt.date.fromordinal(number + 719_163)
        assert year_month_day(number) == (day.year, day.month, day.day)
        assert Moment(number * 86_400, 1).week == day.isocalendar().week
        assert Moment(number * 86_400, 1).day_of_year == day.timetuple().tm_yday


@given(
    ticks=st.lists(st.integers(-(2**62), 2**62) | st.none(), min_size=1, max_size=9),
    unit=st.sampled_from(["s", "ms", "ns"]),
)
@settings(max_examples=30, deadline=None)
def test_the_graph_gives_the_same_far_beyond_any_calendar(ticks: list[int | None], unit: Any) -> None:
    frame = pl.DataFrame({"at": [0, *ticks]}, schema={"at": pl.Int64()})
    features = TimeFeatures([*ALL, "recency"], ["week", "minute"], offset=5.75, unit=unit)
    fitted = Workflow(["at"] >> features).fit(frame[:1])
    assert_same(fitted, Served(fitted), frame)


def test_null_is_an_id_of_its_own_among_parts_and_null_among_numbers() -> None:
    frame = pl.DataFrame({"at": [_at("2026-05-31T23:15"), None]})
    features = TimeFeatures(["hour", "weekday", "is_weekend", "month", "year", "recency"], "hour")
    fitted = Workflow(["at"] >> features).fit(frame)
    known, unknown = fitted.transform(frame).collect().rows()
    assert known[:6] == (23, 6, 1, 5, 2026.0, 0.0)
    assert unknown == (24, 7, 2, 13, None, None, 0.0, 0.0)
    sizes = [column.cardinality for column in fitted.schema if Tag.CATEGORICAL in column.tags]
    assert sizes == [25, 8, 3, 14]


def test_waves_close_the_circle() -> None:
    frame = pl.DataFrame({"at": [_at(f"2026-01-01T{hour:02}") for hour in (0, 6, 12, 18, 23)]})
    made = Workflow(["at"] >> TimeFeatures([], "hour")).fit(frame).transform(frame).collect()
    assert made.columns == ["at_hour_sin", "at_hour_cos"]
    assert made["at_hour_sin"].to_list() == pytest.approx([0, 1, 0, -1, -math.sin(math.pi / 12)], abs=1e-6)
    assert made["at_hour_cos"].to_list() == pytest.approx([1, 0, -1, 0, math.cos(math.pi / 12)], abs=1e-6)


def test_an_offset_moves_the_clock_and_the_day() -> None:
    frame = pl.DataFrame({"at": [_at("2025-12-31T23:30")]})
    made = Workflow(["at"] >> TimeFeatures(["hour", "minute", "year"], offset=5.5)).fit(frame).transform(frame)
    assert made.collect().row(0) == (5, 0, 2026.0)


def test_recency_counts_to_the_latest_training_time_and_moves_on_with_an_update() -> None:
    train = pl.DataFrame({"at": [dt.date(2026, 1, 1), dt.date(2026, 1, 11)]})
    fitted = Workflow(["at"] >> TimeFeatures("recency")).fit(train)
    later = pl.DataFrame({"at": [dt.date(2026, 1, 21)]})
    assert fitted.transform(train).collect()["at_recency"].to_list() == [10.0, 0.0]
    assert fitted.transform(later).collect()["at_recency"].to_list() == [-10.0]
    assert fitted.update(later).transform(train).collect()["at_recency"].to_list() == [20.0, 10.0]


@pytest.mark.parametrize("reference", ["2026-01-03", "2026-01-03T00:00", "2026-01-03T01:00+01:00"])
def test_recency_to_a_given_moment(reference: str) -> None:
    frame = pl.DataFrame({"at": [1_767_225_600]})
    features = TimeFeatures("recency", reference=reference, unit="s")
    assert Workflow(["at"] >> features).fit(frame).transform(frame).collect().item() == 2.0


def test_numbers_take_further_operators() -> None:
    frame = pl.DataFrame({"at": [dt.date(2026, 1, day) for day in (1, 2, 3)]})
    made = Workflow(["at"] >> TimeFeatures("recency") >> Normalize()).fit(frame).transform(frame).collect()
    assert made["at_recency"].to_list() == [1.0, 0.0, -1.0]


@pytest.mark.parametrize(("seconds", "cure"), [(1_700_000_000, "unit: s"), (1_700_000_000_000, "unit: ms")])
def test_seconds_are_not_taken_for_microseconds(seconds: int, cure: str) -> None:
    frame = pl.DataFrame({"at": [seconds, seconds + 5]})
    with pytest.raises(UserError, match="column at") as caught:
        Workflow(["at"] >> TimeFeatures()).fit(frame)
    assert cure in str(caught.value.cure)


def test_what_is_no_time_is_refused() -> None:
    for column in (pl.Series("at", [1.5]), pl.Series("at", ["2026-01-01"])):
        with pytest.raises(UserError, match="takes dates, times or whole numbers"):
            Workflow(["at"] >> TimeFeatures()).fit(column.to_frame())


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: TimeFeatures([]), "at least one"),
        (lambda: TimeFeatures(["century"]), "Input should be"),
        (lambda: TimeFeatures(cyclic="year"), "Input should be"),
        (lambda: TimeFeatures("recency", reference="yesterday"), "2026-01-31T12:00"),
        (lambda: TimeFeatures(offset=27), "less than or equal to 26"),
    ],
)
def test_wrong_settings_are_told(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        make()
