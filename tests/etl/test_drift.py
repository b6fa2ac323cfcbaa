"""Drift between splits: large where it was planted, silent where rows differ by chance alone."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dataset import Dataset
from etl.care.bins import Bins
from etl.care.drift import Drift, drift

from .conftest import Desk

values = st.lists(st.none() | st.integers(-5, 60), min_size=1, max_size=60)


def numbers(rows: int, *, mean: float = 0.0, seed: int = 0) -> pl.Series:
    draw = random.Random(seed)
    return pl.Series([draw.gauss(mean, 1) for _ in range(rows)])


def letters(rows: int, weights: tuple[int, ...], *, seed: int = 0) -> pl.Series:
    return pl.Series(random.Random(seed).choices("abcdef", weights, k=rows))


def found(train: pl.Series, other: pl.Series) -> Drift:
    told = drift(train, other)
    assert told is not None
    return told


@pytest.mark.parametrize("seed", range(5))
def test_chance_alone_is_no_drift(seed: int) -> None:
    for rows in (5000, 500, 40, 5):
        same = found(numbers(5000, seed=seed), numbers(rows, seed=100 + seed))
        assert not same.large
        assert same.psi < same.chance
        weights = (5, 4, 3, 2, 1, 1)
        assert not found(letters(5000, weights, seed=seed), letters(rows, weights, seed=100 + seed)).large


def test_a_shift_of_a_number() -> None:
    """One standard deviation: PSI of two normals is 1, KS 2 Phi(1/2) - 1 = 0.383."""
    told = found(numbers(20_000), numbers(20_000, mean=1.0, seed=1))
    assert told.large
    assert told.psi == pytest.approx(0.95, abs=0.07), "deciles see a little less than the whole"
    assert told.ks == pytest.approx(0.383, abs=0.01)


@pytest.mark.parametrize(("nulls", "large"), [(440, False), (520, True)])
def test_more_nulls_than_before(nulls: int, *, large: bool) -> None:
    """PSI alone says nothing of 40 and 52 percent."""
    train, later = (pl.Series([None] * gone + [1] * (1000 - gone)) for gone in (400, nulls))
    told = found(train, later)
    assert told.psi < 0.1
    assert told.nulls == pytest.approx(nulls / 1000 - 0.4)
    assert told.large is large


def test_other_weights_of_the_same_values() -> None:
    told = found(letters(5000, (8, 4, 2, 1, 1, 1)), letters(5000, (1, 1, 1, 2, 4, 8), seed=1))
    assert told.large
    assert told.ks is None


def test_values_that_share_nothing_are_at_distance_1() -> None:
    told = found(pl.Series(["a", "b"] * 50), pl.Series(["c"] * 100))
    assert (told.js, told.large) == (1.0, True)


def test_nulls_are_told_apart() -> None:
    told = found(numbers(1000), pl.Series([None] * 150 + numbers(850, seed=1).to_list()))
    assert told.nulls == 0.15
    assert told.large


def test_lists_by_length_and_by_element() -> None:
    short, long = pl.Series([["a"]] * 200), pl.Series([["a", "a", "a"]] * 200)
    told = found(short, long)
    assert (told.psi < 0.001, told.ks) == (True, 1.0)
    assert found(short, pl.Series([["b"]] * 200)).large
    assert found(pl.Series([[1.0, float("nan")]] * 9), pl.Series([[], None], dtype=pl.List(pl.Float64))).ks == 1.0


def test_times_sort_as_numbers() -> None:
    days = pl.Series([datetime(2024, 1, 1) + timedelta(days=n) for n in range(200)])  # noqa: DTZ001
    assert found(days[:100], days[100:]).ks == 1.0


def test_no_rows_no_figures() -> None:
    assert drift(numbers(3), numbers(0)) is None


@given(values, values)
def test_bounds_and_symmetry(left: list[int | None], right: list[int | None]) -> None:
    one, two = (pl.Series(side, dtype=pl.Int64) for side in (left, right))
    told = found(one, two)
    assert told.psi >= 0
    assert 0 <= told.js <= 1
    assert told.ks is None or 0 <= told.ks <= 1
    same = found(one, one)
    assert (same.psi, same.js, same.nulls, same.large) == (0.0, 0.0, 0.0, False)
    if told.ks is not None:
        assert found(two, one).ks == told.ks


@given(st.lists(st.integers(-1000, 1000) | st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_bins_hold_each_value_once(drawn: list[Any]) -> None:
    full = pl.Series(drawn, dtype=pl.Float64, strict=False)
    bins = Bins.of(full)
    if bins is None:
        return
    inside = full.is_between(bins.edges[0], bins.edges[-1]).sum()
    assert abs(sum(bins.counts(full)) - inside) <= 1, "a border may fall to either side by rounding"


def test_whole_numbers_have_bins_of_their_own() -> None:
    full = pl.Series([1, 2, 2, 3, 3, 3])
    bins = Bins.of(full)
    assert bins is not None
    assert (bins.edges, bins.counts(full)) == ([1.0, 2.0, 3.0, 4.0], [1, 2, 3])


def drifting(desk: Desk) -> None:
    """A feature that is another one in the later rows."""
    rows = 4000
    late = [n >= rows * 0.8 for n in range(rows)]
    frame = pl.DataFrame(
        {
            "t": range(rows),
            "click": [n % 2 for n in range(rows)],
            "price": [(n * 37 % 100) / 10 + (8 if is_late else 0) for n, is_late in enumerate(late)],
            "steady": [n * 37 % 100 / 10 for n in range(rows)],
            "shop": ["new" if is_late else f"s{n % 5}" for n, is_late in enumerate(late)],
        }
    )
    desk.sources = {"interactions": {"path": desk.write("d.parquet", frame)}, "roles": {"time": "t"}}
    desk.spec["split"] = {"by": "time", "valid": 0.1, "test": 0.1}
    desk.spec["features"] = [
        {"columns": ["price", "steady"], "ops": ["normalize"]},
        {"columns": ["shop"], "ops": ["categorify"]},
    ]


def test_the_profile_and_the_log_name_what_drifts(flat: Desk, caplog: pytest.LogCaptureFixture) -> None:
    drifting(flat)
    dataset: Dataset = flat.prepare()
    told = pl.read_parquet(dataset.profile_file).rows_by_key("name", named=True, unique=True)
    assert {name for name, row in told.items() if row["drifts_test"]} == {"price", "shop", "t"}
    assert told["price"]["psi_test"] > 1
    assert told["shop"]["js_test"] == 1.0
    assert [len(told["price"][f"histogram_{split}"]) for split in ("train", "valid", "test")] == [24, 24, 24]
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    named = [line for line in lines if "drifts" in line]
    assert len(named) == 2, "the time role grows by itself"
    assert "the column price drifts" in named[0]
    assert "PSI" in named[0]
    assert {one["column"] for one in dataset.manifest()["warnings"] if one["kind"] == "drift"} == {"price", "shop"}
