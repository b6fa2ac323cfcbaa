"""What changes between fit and transform: a column missing or extra, another type, values that don't fit."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from core.errors import UserError
from etl import Fitted, Workflow
from etl.ops import Categorify, FillMissing, Normalize

ROWS = pl.DataFrame(
    {
        "age": [20, 30, 40],
        "city": ["Oslo", "Rome", "Oslo"],
        "day": [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)],
        "score": [0.5, 1.5, None],
    }
)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    numbers = ["age", "score"] >> FillMissing(0) >> Normalize()
    return Workflow(numbers + (["city", "day"] >> Categorify())).fit(ROWS)


def test_a_missing_column_is_named(fitted: Fitted) -> None:
    with pytest.raises(UserError, match="column city: the data have no such column, which the workflow reads"):
        fitted.transform(ROWS.drop("city"))
    assert fitted.transform(ROWS.drop("city"), columns=["age"]).collect().columns == ["age"]


def test_a_misspelt_column_is_guessed(fitted: Fitted) -> None:
    with pytest.raises(UserError, match="did you mean City"):
        fitted.transform(ROWS.rename({"city": "City"}))


def test_extra_columns_and_another_order_change_nothing(fitted: Fitted) -> None:
    odd = ROWS.select(pl.lit(b"x").alias("extra"), *reversed(ROWS.columns), other=pl.struct("age", "city"))
    assert fitted.transform(odd).collect().equals(fitted.transform(ROWS).collect())


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("age", ["20", "30", "40"], "column age: the column was fitted as int64 and is string now"),
        ("age", [1.5, 2.5, 3.5], "fitted as int64 and is float64 now"),
        ("age", [date(2024, 1, 1)] * 3, "fitted as int64 and is date now"),
        ("age", [[1], [2], [3]], "column age: the column was fitted on single values and holds lists now"),
        ("city", [1, 2, 3], "fitted as string and is int64 now"),
        ("city", [b"a", b"b", b"c"], "columns of the type Binary are not supported"),
        ("day", ["2024-01-01"] * 3, "fitted as date and is string now"),
        ("score", ["0.5", "1.5", ""], "fitted as float64 and is string now"),
    ],
)
def test_another_type_is_told_with_both(fitted: Fitted, column: str, values: list[Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        fitted.transform(ROWS.with_columns(pl.Series(column, values)))
    assert told in str(caught.value)
    assert f"column {column}" in str(caught.value)


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt8, pl.Int32, pl.UInt64, pl.Boolean])
def test_narrower_and_wider_integers_are_the_same_numbers(fitted: Fitted, dtype: Any) -> None:
    small = ROWS.with_columns(age=pl.Series([1, 0, 1]))
    found = fitted.transform(small.cast({"age": dtype})).collect()
    assert found.equals(fitted.transform(small).collect())


def test_integers_stand_for_floats_and_instants_for_days(fitted: Fitted) -> None:
    whole = ROWS.with_columns(score=pl.Series([1, 2, None]), day=pl.col("day").cast(pl.Datetime("ms")))
    same = ROWS.with_columns(score=pl.Series([1.0, 2.0, None]))
    assert fitted.transform(whole).collect().equals(fitted.transform(same).collect())


def test_a_column_without_any_value_is_null_whatever_its_type(fitted: Fitted) -> None:
    found = fitted.transform(ROWS.with_columns(city=None, age=None)).collect()
    assert found["city"].to_list() == [1, 1, 1]


def test_zones_are_instants() -> None:
    """A time with a zone is an instant; one without is read as UTC."""
    times = pl.DataFrame({"t": [datetime(2024, 1, 1, hour) for hour in (0, 1, 1)]})  # noqa: DTZ001
    made = Workflow(["t"] >> Categorify()).fit(times)
    ids = made.transform(times).collect()
    utc = times.with_columns(pl.col("t").dt.replace_time_zone("UTC"))
    for zone in ("UTC", "Europe/Berlin", "Asia/Kolkata"):
        elsewhere = utc.with_columns(pl.col("t").dt.convert_time_zone(zone))
        assert made.transform(elsewhere).collect().equals(ids)


@pytest.mark.parametrize("step", ["fit", "transform"])
def test_integers_beyond_2_63(step: str) -> None:
    huge = pl.DataFrame({"id": pl.Series([1, 2**63 + 5, 3], dtype=pl.UInt64)})
    workflow = Workflow(["id"] >> Categorify())
    call = workflow.fit if step == "fit" else workflow.fit(huge.head(1)).transform
    with pytest.raises(UserError, match="9223372036854775813, beyond the largest int64") as caught:
        call(huge)
    assert "column id" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_integers_of_128_bits() -> None:
    with pytest.raises(UserError, match=r"column id: the column holds integers beyond the largest int64 .*dtypes"):
        Workflow(["id"] >> Categorify()).fit(pl.DataFrame({"id": pl.Series([2**70], dtype=pl.Int128)}))


def test_fits_refuse_what_transforms_refuse() -> None:
    with pytest.raises(UserError, match="column gone: the data have no such column"):
        Workflow(["gone"] >> Normalize()).fit(ROWS)
    with pytest.raises(UserError, match="normalize takes numbers, got string"):
        Workflow(["city"] >> Normalize()).fit(ROWS)
