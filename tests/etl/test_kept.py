"""Large tables lie in mapped files that leave nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from etl import Fitted, Workflow
from etl.engines import CpuEngine
from etl.ops import Categorify
from etl.values import kept
from etl.values.counting import Counting
from etl.values.probing import Positions


@pytest.fixture
def large(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "LARGE", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return pl.DataFrame({"value": ["é", None, "long" * 20] * 50, "count": range(150)})


def maps(place):
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if str(place) in line]


def test_a_table_stays_what_it_was_and_its_file_is_gone(large, tmp_path):
    table = kept.kept(large)
    assert maps(tmp_path)
    assert not list(tmp_path.iterdir())
    assert table.equals(large)
    assert table.schema == large.schema
    del table
    assert not maps(tmp_path)


def test_small_tables_and_tables_without_room_stay_in_memory(large, tmp_path, monkeypatch):
    assert kept.kept(large.head(1)).equals(large.head(1))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert kept.kept(large) is large
    assert kept.filled(1000, 7, np.uint64).tolist() == [7] * 1000
    assert not maps(tmp_path)


def test_words_can_be_written_and_leave_nothing_behind(large, tmp_path):
    slots = kept.filled(1000, 7, np.uint64)
    assert maps(tmp_path)
    assert slots.tolist() == [7] * 1000
    slots[:] = np.arange(1000)
    assert slots.sum() == 999 * 500
    assert not list(tmp_path.iterdir())


def test_a_full_disk_costs_memory_alone(large, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept.os, "posix_fallocate", full)
    slots = kept.filled(1000, 7, np.uint64)
    assert not maps(tmp_path)
    assert slots.tolist() == [7] * 1000


def test_ids_are_the_same(large, tmp_path, monkeypatch):
    rows = pl.DataFrame({"x": [n * n % 997 for n in range(5000)]})
    workflow = Workflow(["x"] >> Categorify(freq_threshold=2, max_size=300))
    fitted = workflow.fit(rows)
    assert maps(tmp_path)
    mine = fitted.transform(rows).collect()
    fitted.save(tmp_path / "saved")
    monkeypatch.setattr(kept, "LARGE", 1 << 40)
    other = workflow.fit(rows)
    assert other.transform(rows).collect().equals(mine)
    assert type(fitted).load(tmp_path / "saved").transform(rows).collect().equals(mine)
    assert Positions(pl.Series(range(900)))(pl.Series([899, 5, 900])).to_list() == [899, 5, -1]


@pytest.mark.parametrize(
    "workflow",
    [
        Workflow(["lists"] >> Categorify()),
        Workflow([["x", "y"]] >> Categorify()),
        Workflow([["x", "y"]] >> Categorify(encode_type="combo")),
    ],
)
def test_every_vocabulary_lies_in_a_file(large, tmp_path, workflow):
    rows = pl.DataFrame({"x": range(500), "y": range(500), "lists": [[n] for n in range(500)]})
    fitted = workflow.fit(rows)
    assert maps(tmp_path)
    del fitted
    assert not maps(tmp_path)


def test_a_vocabulary_that_grew_lies_in_a_file(large, tmp_path):
    fitted = Workflow(["x"] >> Categorify()).fit(pl.DataFrame({"x": range(500)}))
    fitted = fitted.update(pl.DataFrame({"x": range(300, 700)}))
    assert maps(tmp_path)


def test_a_loaded_vocabulary_lies_in_a_file(large, tmp_path):
    rows = pl.DataFrame({"x": range(500)})
    Workflow(["x"] >> Categorify()).fit(rows).save(tmp_path / "saved")
    assert not maps(tmp_path)
    loaded = Fitted.load(tmp_path / "saved")
    assert maps(tmp_path)
    assert loaded.transform(rows).collect()["x"].n_unique() == 500
    del loaded
    assert not maps(tmp_path)


def test_what_was_counted_lies_in_files_at_once(large, tmp_path):
    rows = pl.DataFrame({"whole": [n * n % 997 for n in range(5000)], "text": [f"v{n % 500}" for n in range(5000)]})
    found = CpuEngine().compute([Counting(rows.lazy(), pl.col(name)) for name in rows.columns])
    assert len(maps(tmp_path)) >= len(found)
    assert [table["count"].sum() for table in found] == [5000, 5000]
