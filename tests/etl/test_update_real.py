"""A year of real invoices, learned month by month, against one fit of the whole year: see `GYRFALCON_REAL_DATA`."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from etl import Fitted, Workflow
from etl.ops import Categorify, FillMedian, JoinGroupby, Normalize, TargetEncoding, sketch
from tests.contract.updates import require_kept

FOLDER = os.environ.get("GYRFALCON_REAL_DATA", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="GYRFALCON_REAL_DATA names no folder of real data")


@pytest.fixture(scope="module")
def months() -> list[pl.DataFrame]:
    source = Path(FOLDER, "online-retail", "transactions.parquet")
    if not source.exists():
        pytest.skip(f"GYRFALCON_REAL_DATA holds no {source.name}")
    rows = pl.read_parquet(source).with_columns(cancelled=pl.col("invoice").str.starts_with("C").cast(pl.Int8))
    time = pl.col("timestamp") if rows.schema["timestamp"].is_temporal() else pl.from_epoch("timestamp")
    dated = rows.with_columns(month=time.dt.truncate("1mo")).sort("month", maintain_order=True)
    return [part.drop("month") for part in dated.partition_by("month", maintain_order=True)]


WORKFLOW = Workflow(
    (["item_id", "user_id"] >> Categorify(freq_threshold=10))
    + (["country"] >> Categorify())
    + (["price"] >> FillMedian())
    + (["quantity"] >> Normalize())
    + (["user_id"] >> TargetEncoding("cancelled"))
    + (["item_id"] >> JoinGroupby(cont_cols=["price"], stats=["count", "mean", "std", "max"]))
)


@pytest.fixture(scope="module")
def whole(months: list[pl.DataFrame]) -> Fitted:
    return WORKFLOW.fit(pl.concat(months))


def test_a_year_month_by_month(months: list[pl.DataFrame], whole: Fitted, tmp_path: Path) -> None:
    assert len(months) == 13
    year = pl.concat(months)
    fitted = WORKFLOW.fit(months[0])
    for month in months[1:]:
        before = fitted
        before.save(tmp_path / "last")
        fitted = WORKFLOW.update(Fitted.load(tmp_path / "last"), month)
        for name in ("item_id", "user_id", "country"):
            require_kept(before, fitted, month, name)
    assert [one.rows for one in fitted.seen] == [month.height for month in months]
    made, expected = (one.transform(year).collect() for one in (fitted, whole))
    assert made.columns == expected.columns
    for name in made.columns:
        if name in {"item_id", "user_id", "country"}:
            assert fitted.schema[name].cardinality == whole.schema[name].cardinality
            pairs = pl.DataFrame([made[name].alias("made"), expected[name].alias("expected")]).unique()
            assert pairs["made"].n_unique() == pairs["expected"].n_unique() == pairs.height
        else:
            limit = sketch.ERROR if name == "price" else 1e-6
            wrong = (made[name] - expected[name]).abs() > limit * (1 + expected[name].abs())
            assert not wrong.any(), name
            assert made[name].is_null().equals(expected[name].is_null())


def test_the_median_of_a_year_is_within_its_error(months: list[pl.DataFrame]) -> None:
    workflow = Workflow(["quantity", "price"] >> FillMedian())
    fitted = workflow.fit(months[0])
    for month in months[1:]:
        fitted = fitted.update(month)
    exact = workflow.fit(pl.concat(months)).steps[0].state.median
    for name, median in fitted.steps[0].state.median.items():
        assert median == pytest.approx(exact[name], rel=sketch.ERROR)
