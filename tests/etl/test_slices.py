"""Parquet read, and plans run, slice by slice give what Polars gives."""

from __future__ import annotations

import sys

import polars as pl
import pytest

from core.dataset import ROW, SPLIT
from core.errors import UserError
from etl import Workflow
from etl.engines import CpuEngine, slices
from etl.engines.slices import paced, rows_at_once
from etl.ops import Categorify, Dropna, FillMissing, Normalize, TargetEncoding

ROWS = 1000


@pytest.fixture
def scan(tmp_path, monkeypatch):
    monkeypatch.setattr(slices, "FIRST", 64)
    monkeypatch.setattr(slices, "READ", 2000)
    monkeypatch.setattr(slices, "GIVEN", 700)
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
    mine = paced(scan)
    assert mine is not scan
    given, wanted = (asked(one)[what].collect(engine=engine) for one in (mine, scan))
    assert given.equals(wanted)
    assert given.schema == wanted.schema


def test_reads_and_parts_are_small_each(scan, monkeypatch):
    def heights():
        return [part.height for part in slices._slices(scan.select("a", "row"), None)]

    monkeypatch.setattr(slices, "GIVEN", 1 << 30)
    reads = heights()
    assert sum(reads) == ROWS
    assert reads[0] == 64
    assert len(reads) > 5
    # 12 bytes a row, and one for eight nulls.
    assert set(reads[1:-1]) <= set(range(150, 170))
    monkeypatch.setattr(slices, "READ", 1 << 30)
    monkeypatch.setattr(slices, "GIVEN", 700)
    parts = heights()
    assert sum(parts) == ROWS
    assert max(parts) <= 64


def test_columns_that_nobody_asks_for_are_not_read(scan, monkeypatch):
    read, own = [], slices._slices

    def watched(frame, most):
        read.append(frame.collect_schema().names())
        return own(frame, most)

    monkeypatch.setattr(slices, "_slices", watched)
    paced(scan).select("s").collect(engine="streaming")
    assert read == [["s"]]


def test_slices_hold_whole_row_groups(scan, monkeypatch):
    monkeypatch.setattr(slices, "CUT", 8 * 4 * 333)
    assert rows_at_once(scan, 100) == 300
    assert rows_at_once(scan, 333) == 333
    assert rows_at_once(scan, 500) == 500
    assert rows_at_once(scan, 1000) is None


def test_a_fit_reads_as_it_works(scan):
    class Watched(CpuEngine):
        sources = 0

        def source(self, frame):
            self.sources += 1
            found = super().source(frame)
            assert found is not frame
            return found

    engine = Watched()
    Workflow(["s"] >> Categorify()).fit(scan, engine)
    assert engine.sources == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda scan: scan.filter(pl.col("a") > 3),
        lambda scan: scan.sort("a"),
        lambda scan: scan.with_columns(pl.col("a").cum_sum()),
        lambda scan: scan.with_columns(pl.col("a") - pl.col("a").mean()),
        lambda scan: scan.with_columns(pl.col("a").shift()),
        lambda scan: scan.with_columns(pl.col("a").map_batches(lambda a: a - a.sum(), return_dtype=pl.Int64)),
        lambda scan: scan.unique("s"),
        lambda scan: scan.group_by("s").len(),
        lambda scan: scan.explode("l", empty_as_null=True),
        lambda scan: scan.with_columns(pl.col("a").sum().over("s")),
        lambda scan: pl.concat([scan, scan]),
        lambda scan: scan.join(scan, on="a", how="left"),
        lambda scan: scan.head(10),
        lambda scan: scan.map_batches(lambda rows: rows, streamable=True),
        lambda scan: scan.map_batches(lambda rows: rows, streamable=True, predicate_pushdown=True),
        lambda scan: scan.collect().lazy(),
        lambda scan: (scan.drop("l").sink_csv("rows.csv"), pl.scan_csv("rows.csv"))[1],
    ],
)
def test_what_cannot_be_cut_is_left_as_it_is(scan, change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = change(scan)
    assert paced(frame) is frame


def test_columns_made_of_one_row_each_can_be_cut(scan):
    frame = scan.with_columns((pl.col("row") * 2).alias("twice")).drop("l")
    mine = paced(frame)
    assert mine is not frame
    assert paced(mine) is mine
    assert mine.collect().equals(frame.collect())


def test_a_workflow_learns_and_makes_the_same(scan, monkeypatch):
    workflow = Workflow(["s"] >> Categorify(freq_threshold=50), ["a"] >> FillMissing() >> Normalize())
    mine = workflow.fit(scan).transform(scan, keep=["row"]).collect(engine="streaming")
    monkeypatch.setattr(CpuEngine, "source", lambda self, frame: frame)
    assert workflow.fit(scan).transform(scan, keep=["row"]).collect(engine="streaming").equals(mine)


def splits(scan):
    """Later splits begin where earlier ones end, and a few rows are in none."""
    return scan.with_columns(
        pl.when(pl.col("row") < 500).then(0).when(pl.col("row") < 700).then(1).otherwise(2).cast(pl.Int8).alias(SPLIT),
        pl.col("row").alias(ROW),
    ).with_columns(pl.when(pl.col("row") % 97 == 5).then(3).otherwise(pl.col(SPLIT)).cast(pl.Int8).alias(SPLIT))


def written(frame, place, workflow, monkeypatch, cut):
    monkeypatch.setattr(slices, "CUT", cut)
    engine = CpuEngine()
    fitted = workflow.fit(frame)
    plan = fitted.transform(frame, keep=[ROW, SPLIT, "row"], training=pl.col(SPLIT) == 0)
    sunk = engine.sink(plan, place, row_group_size=1)
    return {split: pl.read_parquet(paths) if paths else None for split, paths in sunk.files.items()}, sunk


@pytest.mark.parametrize("rows", [100, 250, 333, 999])
def test_a_plan_cut_in_slices_writes_the_same(scan, tmp_path, monkeypatch, rows):
    scored = scan.with_columns((pl.col("row") % 3 == 0).cast(pl.Float32).alias("y"))
    workflow = Workflow(
        ["s"] >> Categorify(), ["a"] >> FillMissing() >> Normalize(), ["s"] >> TargetEncoding("y", kfold=3)
    )
    frame = splits(scored)
    whole, once = written(frame, tmp_path / "whole", workflow, monkeypatch, 1 << 30)
    columns = 1 + len(whole["train"].columns)
    parts, sunk = written(frame, tmp_path / "parts", workflow, monkeypatch, rows * 8 * columns)
    assert len(once.files["train"]) == 1
    assert sum(map(len, sunk.files.values())) > 3
    assert sunk.rows == once.rows
    assert sum(sunk.rows.values()) < ROWS
    for split, paths in sunk.files.items():
        assert [path.name for path in paths] == [f"part-{number:05d}.parquet" for number in range(len(paths))]
        assert parts[split].equals(whole[split])
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["test", "train", "valid"]


def test_a_plan_that_drops_rows_is_run_whole(scan, tmp_path, monkeypatch):
    fitted = Workflow(["a"] >> Dropna() >> Normalize()).fit(scan)
    monkeypatch.setattr(slices, "CUT", 100)
    sunk = CpuEngine().write(fitted, splits(scan), tmp_path / "out", keep=[ROW, SPLIT])
    assert len(sunk.files["train"]) == 1
    assert rows_at_once(fitted.transform(scan), 1) is None


def test_a_damaged_file_is_told_in_one_line(tmp_path, scan):
    raw = bytearray((tmp_path / "1.parquet").read_bytes())
    raw[4:2000] = bytes(len(raw[4:2000]))
    (tmp_path / "1.parquet").write_bytes(raw)
    with pytest.raises(UserError, match=r"^engine cpu: parquet: [^\n]*$"):
        Workflow(["s"] >> Categorify()).fit(scan)


def test_a_file_that_goes_away_is_told(tmp_path, scan):
    mine = paced(scan)
    (tmp_path / "1.parquet").unlink()
    with pytest.raises(UserError, match="a file went away while it was read"):
        CpuEngine().collect([mine])


def test_rows_keep_their_numbers(scan, tmp_path):
    numbered = pl.scan_parquet(sorted(tmp_path.glob("*.parquet"))).with_row_index("n")
    mine = paced(numbered)
    assert mine.collect(engine="streaming").equals(numbered.collect())
    assert mine.collect(engine="streaming")["n"].to_list() == list(range(ROWS))


def test_a_data_set_is_looked_at_learned_from_and_sampled_as_it_is_read(flat, monkeypatch):
    """Each of the passes over raw rows that hold nothing back by themselves."""
    told, own = [], paced

    def watched(frame):
        asks = sys._getframe(1).f_code.co_name
        told.append(sys._getframe(2).f_code.co_name if asks == "source" else asks)
        made = own(frame)
        assert (made is frame) == (told[-1] == "fit"), "a fit is given what is paced before its rows are counted"
        return made

    monkeypatch.setattr(slices, "FIRST", 8)
    monkeypatch.setattr("etl.engines.cpu.paced", watched)
    monkeypatch.setattr("etl.care.samples.paced", watched)
    flat.prepare()
    assert told == ["_look", "_fit", "fit", "take"]
