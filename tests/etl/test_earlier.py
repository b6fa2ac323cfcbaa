"""A data set from an earlier one: what goes on, what is told of it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from core.errors import UserError
from core.files import hash_tree
from etl import Fitted

from .conftest import Desk


def days(desk: Desk) -> tuple[str, str]:
    """Two files of clicks: the second day brings a new city, b, and a new device that is seen once."""
    monday = pl.DataFrame({"city": ["a", "a", "c"] * 20, "click": [0, 1] * 30, "stamp": range(60)})
    tuesday = pl.DataFrame({"city": ["b", "c", "a", "b"] * 10, "click": [0, 1] * 20, "stamp": range(100, 140)})
    return desk.write("monday.parquet", monday), desk.write("tuesday.parquet", tuesday)


@pytest.fixture
def week(tmp_path: Path) -> Desk:
    """Monday's clicks, with the settings of a run."""
    desk = Desk(tmp_path)
    desk.sources = {"interactions": {"path": days(desk)[0]}, "roles": {"time": "stamp"}}
    desk.spec = {
        "engine": "cpu",
        "target": {"column": "click"},
        "split": {"by": "time", "valid": 0.1, "test": 0.1},
        "features": [{"columns": ["city"], "ops": ["categorify"]}],
    }
    return desk


def test_a_data_set_goes_on_from_an_earlier_one(week: Desk) -> None:
    monday = week.prepare()
    before = hash_tree(monday.path)
    week.sources["interactions"] = {"path": str(week.path / "tuesday.parquet")}
    week.spec["start_from"] = str(monday.path)
    tuesday = week.prepare()
    assert hash_tree(monday.path) == before, "what was gone on from stays as it is"
    old, new = Fitted.load(monday.workflow_dir), Fitted.load(tuesday.workflow_dir)
    rows = pl.DataFrame({"city": ["a", "c", "b"]})
    assert old.transform(rows).collect()["city"].to_list() == [3, 4, 2]
    assert new.transform(rows).collect()["city"].to_list() == [3, 4, 5]
    assert tuesday.schema()["city"].cardinality == 6
    told = tuesday.manifest()["learned"]
    assert told["ids"] == {"city": [5, 6]}
    assert [(one["rows"], one["first"], one["last"]) for one in told["seen"]] == [(48, 0, 47), (32, 100, 131)]
    assert len(told["earlier"]) == 64
    assert monday.manifest()["learned"]["ids"] == {"city": [0, 5]}
    assert monday.manifest()["learned"]["earlier"] is None


def test_the_same_twice_gives_the_same_bytes(week: Desk) -> None:
    monday = week.prepare()
    week.spec["start_from"] = str(monday.path / "workflow")
    assert hash_tree(week.prepare().path) == hash_tree(week.prepare().path)


def test_other_features_and_missing_workflows_are_named(week: Desk) -> None:
    monday = week.prepare()
    week.spec["start_from"] = str(monday.path)
    week.spec["features"] = [{"columns": ["city"], "ops": [{"categorify": {"freq_threshold": 5}}]}]
    with pytest.raises(UserError, match="categorify of city has freq_threshold 5, where it was 0"):
        week.prepare()
    week.spec["start_from"] = str(week.path / "nowhere")
    with pytest.raises(UserError, match="no fitted workflow to start from"):
        week.prepare()
    week.spec["engine"] = "nvtabular"
    with pytest.raises(ValueError, match="NVTabular can't go on from an earlier fit"):
        week.prepare()
