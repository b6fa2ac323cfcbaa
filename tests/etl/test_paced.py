"""Parquet read slice by slice gives what Polars gives, whatever a query asks of it."""

from __future__ import annotations

import polars as pl
import pytest

from core.errors import UserError
from etl import Workflow
from etl.engines import CpuEngine, paced
from etl.ops import Categorify, FillMissing, Normalize

ROWS = 1000


@pytest.fixture
def scan(tmp_path, monkeypatch):
    monkeypatch.setattr(paced, "FIRST", 64)
    monkeypatch.setattr(paced, "READ", 2000)
    monkeypatch.setattr(paced, "GIVEN", 700)
    frame = pl.DataFrame(
        {
            "a": [n if n % 7 else None for n in range(ROWS)],
            "s": [f"user {n % 13}" * (n % 3) for n in range(ROWS)],
            "l": [[n] * (n % 4) for n in range(ROWS)],
        }
    )
    frame.head(610).write_parquet(tmp_path / "0.parquet", row_group_size=100)
    frame.slice(610).write_parquet(tmp_path / "1.parquet", row_group_size=1000)
    return pl.scan_parquet(tmp_path, row_index_name="row")


def asked(frame):
    """Queries of all kinds."""
    return {
        "all": frame,
        "some columns": frame.select("s", "row"),
        "some rows": frame.filter(pl.col("row") % 3 == 1).select("a"),
        "the first": frame.head(137),
        "a slice": frame.slice(250, 300),
        "the last": frame.tail(5),
        "no column": frame.select(pl.len()),
        "a window": frame.select("row", pl.col("a").sum().over("s")),
        "a join": frame.join(frame.group_by("s").agg(pl.len()), on="s", maintain_order="left").select("row", "len"),
    }


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
@pytest.mark.parametrize("what", asked(pl.LazyFrame({"row": [0], "a": [1], "s": ["x"]})))
def test_a_query_gives_the_same(scan, what, engine):
    mine = paced.paced(scan)
    assert mine is not scan
    given, wanted = (asked(one)[what].collect(engine=engine) for one in (mine, scan))
    assert given.equals(wanted)
    assert given.schema == wanted.schema


def test_rows_come_in_small_parts(scan):
    heights = []

    def look(part):
        heights.append(part.height)
        return part

    paced.paced(scan).map_batches(look, streamable=True).collect(engine="streaming")
    assert sum(heights) == ROWS
    assert max(heights) <= 64


@pytest.mark.parametrize(
    "change",
    [
        lambda scan: scan.filter(pl.col("a") > 3),
        lambda scan: scan.sort("a"),
        lambda scan: scan.with_columns(pl.col("a").cum_sum()),
        lambda scan: scan.with_columns(pl.col("a").sum().over("s")),
        lambda scan: pl.concat([scan, scan]),
        lambda scan: scan.join(scan, on="a", how="left"),
        lambda scan: scan.head(10),
        lambda scan: scan.map_batches(lambda rows: rows, streamable=True),
        lambda scan: scan.map_batches(lambda rows: rows, streamable=True, predicate_pushdown=True),
        lambda scan: scan.collect().lazy(),
    ],
)
def test_what_cannot_be_cut_is_left_as_it_is(scan, change):
    frame = change(scan)
    assert paced.paced(frame) is frame


def test_columns_made_of_one_row_each_can_be_cut(scan):
    frame = scan.with_columns((pl.col("row") * 2).alias("twice")).drop("l")
    mine = paced.paced(frame)
    assert mine is not frame
    assert paced.paced(mine) is mine
    assert mine.collect().equals(frame.collect())


def test_a_workflow_learns_and_makes_the_same(scan, monkeypatch):
    workflow = Workflow(["s"] >> Categorify(freq_threshold=50), ["a"] >> FillMissing() >> Normalize())
    mine = workflow.fit(scan).transform(scan, keep=["row"]).collect(engine="streaming")
    monkeypatch.setattr(CpuEngine, "source", lambda self, frame: frame)
    assert workflow.fit(scan).transform(scan, keep=["row"]).collect(engine="streaming").equals(mine)


def test_a_damaged_file_is_told_in_one_line(tmp_path, scan):
    raw = bytearray((tmp_path / "1.parquet").read_bytes())
    raw[4:2000] = bytes(len(raw[4:2000]))
    (tmp_path / "1.parquet").write_bytes(raw)
    with pytest.raises(UserError, match=r"^engine cpu: parquet: [^\n]*$"):
        Workflow(["s"] >> Categorify()).fit(scan)


def test_a_file_that_goes_away_is_told(tmp_path, scan):
    mine = paced.paced(scan)
    (tmp_path / "1.parquet").unlink()
    with pytest.raises(UserError, match="a file went away while it was read"):
        CpuEngine().collect([mine])
