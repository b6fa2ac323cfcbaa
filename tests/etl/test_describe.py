"""Profile, samples, target, times and progress."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from core import progress
from core.dataset import ROW, SPLIT, SPLITS, TARGET, TIME
from core.errors import UserError
from etl import ticks
from etl.care import samples
from etl.care.look import look
from etl.care.profile import profile
from etl.dataset.target import Goal, TargetSpec, target
from etl.dataset.times import time_of
from etl.engines import CpuEngine
from etl.engines.cpu import AT_ONCE

from .conftest import Desk


def halves(frame: pl.DataFrame) -> samples.Samples:
    """The first half trains, the second judges; nothing chooses."""
    middle = frame.height // 2
    parts = {"train": frame[:middle], "valid": frame[:0], "test": frame[middle:]}
    return samples.Samples(frame[:0], frame, parts, parts)


def test_look_and_profile_of_known_columns() -> None:
    frame = pl.LazyFrame(
        {
            ROW: pl.Series(range(6), dtype=pl.UInt32),
            "x": [1.0, 2.0, 3.0, 4.0, 5.0, None],
            "s": ["b", "a", "a", "b", None, "c"],
            "day": [datetime(2024, 1, 1 + n, tzinfo=UTC) for n in range(6)],
        }
    )
    types = dict(frame.collect_schema())
    seen = look(frame, types)
    assert seen.rows == 6
    assert seen.nulls == {"x": 1, "s": 1, "day": 0}
    told = profile(halves(frame.drop(ROW).collect()), seen, {"test": {"s": 0.25}})
    told = told.rows_by_key("name", named=True, unique=True)
    assert told["x"]["mean"] == 3.0
    assert told["x"]["quantiles"][3] == 3.0
    assert told["s"]["histogram"] == []
    assert (told["x"]["low"], told["x"]["high"], told["x"]["distinct"]) == ("1", "5", 5)
    assert told["s"]["top_values"] == ["a", "b", "c"], "ties by value"
    assert told["s"]["top_counts"] == [2, 2, 1]
    assert (told["s"]["unseen_test"], told["s"]["unseen_valid"]) == (0.25, None)
    assert told["day"]["low"].startswith("2024-01-01")
    assert told["day"]["top_values"] == sorted(told["day"]["top_values"]), "all of them ties"
    assert (told["s"]["top_train"], told["s"]["top_test"]) == ([2, 1, 0], [0, 1, 1])
    assert (told["x"]["nulls_train"], told["x"]["nulls_valid"], told["x"]["nulls_test"]) == (0.0, None, 0.333333333)
    assert told["x"]["histogram_train"][-1] == 0
    assert sum(told["x"]["histogram_train"] + told["x"]["histogram_test"]) == sum(told["x"]["histogram"])
    assert (told["x"]["ks_test"], told["x"]["ks_valid"], told["s"]["ks_test"]) == (1.0, None, None)


def test_look_and_profile_of_lists() -> None:
    tags = [["a", "b"], [], None, ["a"], ["a", "c", "a"], ["b"]]
    numbers = [[1.0, float("nan")], [2.0], None, [], [4.0], [3.0, 5.0]]
    frame = pl.LazyFrame({ROW: pl.Series(range(6), dtype=pl.UInt32), "tags": tags, "x": numbers})
    seen = look(frame, dict(frame.collect_schema()))
    assert (seen.columns["x"].low, seen.columns["x"].high, seen.columns["x"].mean) == (1.0, 5.0, 3.0)
    told = profile(halves(frame.drop(ROW).collect()), seen, {}).rows_by_key("name", named=True, unique=True)
    assert (told["tags"]["nulls"], told["tags"]["distinct"]) == (1, 3)
    assert (told["tags"]["top_values"], told["tags"]["top_counts"]) == (["a", "b", "c"], [4, 2, 1])
    assert (told["tags"]["top_train"], told["tags"]["top_test"]) == ([1, 1, 0], [3, 1, 1])
    assert told["tags"]["lengths"][3] == 1.0, "the median of 2, 0, 1, 3, 1"
    assert told["x"]["quantiles"][3] == 3.0
    assert told["x"]["nulls"] == 1


def test_samples_are_rows_of_the_split_and_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "GOLDEN_ROWS", 50)
    monkeypatch.setattr(samples, "WHOLE_ROWS", 100)
    monkeypatch.setattr(samples, "PROFILE_ROWS", 500)
    monkeypatch.setattr(samples, "COMPARED_ROWS", 500)
    rows = 5000
    frame = (
        pl.LazyFrame({"x": range(rows)}).with_row_index(ROW).with_columns((pl.col("x") % 3).cast(pl.Int8).alias(SPLIT))
    )
    frame = frame.with_columns(pl.lit(0.0, pl.Float32).alias(TARGET))
    counts = {name: len(range(n, rows, 3)) for n, name in enumerate(SPLITS)}
    sizes = samples.Sizes(counts, dict.fromkeys(SPLITS, 0))
    one = samples.take(frame, "test", ["x"], sizes=sizes, seed=1)
    assert one.golden.height == 50
    found = one.golden["x"].to_list()
    assert found == sorted(found)
    assert {x % 3 for x in found} == {2}
    assert 400 < one.profile.height < 600
    assert {x % 3 for x in one.profile["x"]} == {0, 1, 2}
    shuffled = frame.collect().sample(fraction=1, shuffle=True, seed=3).lazy()
    two = samples.take(shuffled, "test", ["x"], sizes=sizes, seed=1)
    assert one.golden.equals(two.golden)
    assert one.profile.equals(two.profile)
    for number, (name, part) in enumerate(one.splits.items()):
        assert {x % 3 for x in part["x"]} == {number}
        assert 400 < part.height < 600, "as many of each split"
        assert part.equals(two.splits[name])
    assert not one.golden.equals(samples.take(frame, "test", ["x"], sizes=sizes, seed=2).golden)


@pytest.mark.parametrize(
    ("rule", "values", "answer"),
    [
        ({"at_least": 4}, [3, 4, 5], [0, 1, 1]),
        ({"at_least": 0.5}, [0.4, 0.5, None], [0, 1, None]),
        ({"equals": ">50K"}, ["<=50K", ">50K"], [0, 1]),
        ({"equals": 2}, [1, 2, 3], [0, 1, 0]),
        ({"equals": False}, [True, False], [0, 1]),
        ({}, [True, False], [1, 0]),
        ({}, [0.0, 1.0], [0, 1]),
    ],
)
def test_target_rules(rule: dict[str, Any], values: list[Any], answer: list[int | None]) -> None:
    frame = pl.DataFrame({"y": values})
    goal = Goal("y", TARGET, TargetSpec(column="y", **rule))
    found = frame.select(target(goal, frame.schema)).to_series()
    assert found.to_list() == answer
    assert found.dtype == pl.Float32


def test_two_target_rules_at_once() -> None:
    with pytest.raises(ValidationError, match="not both"):
        TargetSpec(column="y", at_least=1, equals=2)


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        (pl.Series([3, 1], dtype=pl.Int32), [3, 1]),
        (pl.Series([1.25]), [1250]),
        (pl.Series([datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]), [1_000_000]),
        (pl.Series([datetime(1970, 1, 2, tzinfo=UTC).date()]), [86_400_000_000]),
    ],
)
def test_times(values: pl.Series, answer: list[int]) -> None:
    frame = pl.DataFrame({"t": values})
    found = frame.select(time_of("t", frame.schema["t"])).to_series()
    assert found.to_list() == answer
    assert (found.dtype, found.name) == (pl.Int64, TIME)


def test_no_time_role_is_zero() -> None:
    assert pl.DataFrame({"a": [1]}).with_columns(time_of(None, None))[TIME].to_list() == [0]


def test_times_that_are_none() -> None:
    with pytest.raises(UserError, match="holds String"):
        time_of("t", pl.String())


@pytest.mark.parametrize("plans", [1, 3 * AT_ONCE])
def test_every_row_is_counted_once_a_pass(plans: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    monkeypatch.setattr(progress._Lines, "advance", lambda self, n: counted.append(n))
    frame = pl.LazyFrame({"a": range(1000), "b": range(1000)})
    engine = CpuEngine()
    with ticks.counted(frame, "count", 1000, engine) as rows:
        engine.collect(
            [rows.select(pl.col("a").sum()), *(rows.group_by(pl.col("b") % (n + 2)).len() for n in range(plans))]
        )
    assert sum(counted) == 1000


def test_samples_of_a_random_split_hold_every_split(monkeypatch: pytest.MonkeyPatch, flat: Desk) -> None:
    """The split and the samples are both made by hashes of the row's number: they must not be the same one."""
    monkeypatch.setattr(samples, "WHOLE_ROWS", 100)
    monkeypatch.setattr(samples, "PROFILE_ROWS", 500)
    monkeypatch.setattr(samples, "COMPARED_ROWS", 100)
    rows = pl.DataFrame({"a": range(2000), "b": ["x", "y"] * 1000, "click": [0, 1, 1, 0] * 500})
    flat.sources["interactions"] = {"path": flat.write("many.parquet", rows)}
    told = pl.read_parquet(flat.prepare().profile_file).row(0, named=True)
    for split in SPLITS:
        assert 60 < told[f"rows_{split}"] < 140
    assert not told["drifts_test"]


def test_a_column_of_lists_from_the_source_to_the_profile(flat: Desk) -> None:
    rows = 400
    tags = [[f"t{n % 5}"] * (n % 3) if n % 7 else None for n in range(rows)]
    tags[-40:] = [["new", "t1"]] * 40
    frame = pl.DataFrame({"t": range(rows), "tags": tags, "click": [n % 2 for n in range(rows)]})
    flat.sources = {"interactions": {"path": flat.write("lists.parquet", frame)}, "roles": {"time": "t"}}
    flat.spec["split"] = {"by": "time", "valid": 0.1, "test": 0.1}
    flat.spec["features"] = [{"columns": ["tags"], "ops": ["categorify"]}]
    dataset = flat.prepare()
    told = pl.read_parquet(dataset.profile_file).rows_by_key("name", named=True, unique=True)["tags"]
    assert (told["nulls"], told["dtype"]) == (frame["tags"].null_count(), "List(String)")
    assert (told["unseen_valid"], told["unseen_test"]) == (0.0, 0.5)
    assert told["drifts_test"]
    assert not told["drifts_valid"]
    assert told["top_values"][0] == "t1"
    assert {one["column"] for one in dataset.manifest()["warnings"]} == {"tags"}
