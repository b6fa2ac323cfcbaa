"""data_stats on columns whose statistics are worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest

from core.schema import Column, DType
from core.schema_pbtxt import from_text, to_text
from etl import Fitted, Workflow
from etl.ops import Categorify, DataStats, Normalize
from etl.ops.base import Wiring

ROWS = pl.DataFrame(
    {
        "x": [1.0, 2.0, 3.0, None],
        "n": [7, 7, 9, None],
        "s": ["a", "bbb", "a", ""],
        "same": [5.0, 5.0, 5.0, 5.0],
        "wide": [1.0, math.inf, -math.inf, 0.0],
    }
)


def stats(frame: pl.DataFrame = ROWS) -> dict[str, dict[str, Any]]:
    return {column.name: dict(column.properties) for column in fit(frame).schema}


def fit(frame: pl.DataFrame) -> Fitted:
    return Workflow(list(ROWS.columns) >> DataStats()).fit(frame)


def test_by_hand():
    assert stats() == {
        "x": {"min": 1, "max": 3, "mean": 2, "std": 1, "per_nan": 25, "dtype": "float64"},
        "n": {
            "min": 7,
            "max": 9,
            "mean": pytest.approx(23 / 3),
            "std": pytest.approx(math.sqrt(4 / 3)),
            "per_nan": 25,
            "dtype": "int64",
            "cardinality": 2,
            "embedding_sizes": {"cardinality": 5, "dimension": 16},
        },
        # Lengths 1, 3 and 1; the empty string is no value.
        "s": {
            "min": 1,
            "max": 3,
            "mean": pytest.approx(5 / 3),
            "std": pytest.approx(math.sqrt(4 / 3)),
            "per_nan": 25,
            "dtype": "string",
            "cardinality": 2,
            "embedding_sizes": {"cardinality": 5, "dimension": 16},
        },
        "same": {"min": 5, "max": 5, "mean": 5, "std": 0, "per_nan": 0, "dtype": "float64"},
        "wide": {"min": None, "max": None, "mean": None, "std": None, "per_nan": 0, "dtype": "float64"},
    }


@pytest.mark.parametrize("operator", [DataStats(), Normalize()])
def test_moments_stream_where_the_plan_runs(operator):
    columns, frame = [Column("x", DType.FLOAT64)], pl.LazyFrame({"x": [1.0, 2.0]})
    for collect, grouped in ((None, False), (pl.collect_all, True)):
        wiring = Wiring({"x": "x"}, {}, collect=collect)
        plan = operator.statistics(frame, columns, wiring).tables["moments"].explain()
        assert ("AGGREGATE" in plan) is grouped, "the CPU holds all rows for a grouping, a GPU for a select"


def test_values_pass_and_properties_survive(tmp_path):
    fitted = fit(ROWS)
    fitted.save(tmp_path / "w")
    loaded = Fitted.load(tmp_path / "w")
    assert loaded.schema == fitted.schema
    assert loaded.transform(ROWS).collect()["s"].to_list() == ["a", "bbb", "a", None]
    text = to_text(fitted.schema)
    assert from_text(text, "x")["s"].properties["mean"] == pytest.approx(5 / 3)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_an_update_is_as_a_fit_on_all(cut):
    full = ROWS.with_columns(
        n=pl.col("n").fill_null(4), x=pl.col("x").fill_null(-1), s=pl.Series(["é", "bb", "é", "c"])
    )
    parts = fit(full[:cut]).update(full[cut:])
    for name, expected in stats(full).items():
        assert dict(parts.schema[name].properties) == {
            key: pytest.approx(value) if isinstance(value, float) else value for key, value in expected.items()
        }


def test_an_update_without_a_value_counts_its_rows():
    empty = ROWS[:3].with_columns(x=pl.lit(None, pl.Float64))
    found = fit(ROWS).update(empty).schema["x"].properties
    assert (found["mean"], found["per_nan"]) == (2, pytest.approx(400 / 7))


def test_of_ids():
    schema = Workflow(["s"] >> Categorify() >> DataStats()).fit(ROWS).schema
    assert schema["s"].cardinality == 5
    assert schema["s"].properties["cardinality"] == 3, "ids that occur: those of a, bbb and null"


def test_the_order_of_rows_changes_nothing():
    frame = pl.DataFrame({"x": [math.sin(n) * 10 ** (n % 7) + 1e4 for n in range(20_000)]})
    fits = [
        Workflow(["x"] >> DataStats()).fit(frame.sample(fraction=1.0, shuffle=True, seed=seed)).schema["x"].properties
        for seed in range(4)
    ]
    assert all(one == fits[0] for one in fits)
    assert fits[0]["mean"] == pytest.approx(frame["x"].mean())
