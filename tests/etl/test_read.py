"""Tables as they are read: types, nulls, headers, compression."""

from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from core.dataset import ROW
from etl.dataset.sources import TableSpec
from etl.read import open_table
from etl.read.csv_table import QUICK_LOOK


def read(path: Path, text: str | bytes, **settings: object) -> pl.DataFrame:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    table = open_table(TableSpec.model_validate({"path": str(path), **settings}))
    return table.read(lambda scan: scan.collect(engine="streaming"))


def test_rows_are_numbered_across_files(tmp_path: Path) -> None:
    for name in ("b", "a"):
        pl.DataFrame({"x": [name, name]}).write_parquet(tmp_path / f"{name}.parquet")
    one = open_table(TableSpec(path=str(tmp_path / "*.parquet"))).scan().collect()
    assert one.rows() == [(0, "a"), (1, "a"), (2, "b"), (3, "b")]
    listed = [str(tmp_path / "b.parquet"), str(tmp_path / "a.parquet")]
    two = open_table(TableSpec.model_validate({"path": listed})).scan().collect()
    assert two["x"].to_list() == ["b", "b", "a", "a"], "a list keeps its order"
    assert two.columns == [ROW, "x"]


def test_types_that_later_rows_contradict_are_told_from_all_rows(tmp_path: Path) -> None:
    late = QUICK_LOOK + 5
    text = "x,y\n" + "1,2\n" * late + "1.5,b\n"
    found = read(tmp_path / "late.csv", text)
    assert found.schema["x"] == pl.Float64
    assert found.schema["y"] == pl.String
    assert found.row(-1) == (late, 1.5, "b")


@pytest.mark.parametrize(
    ("name", "settings"),
    [("a.tsv", {}), ("a.csv", {"separator": "\t"}), ("a.data", {"format": "csv", "separator": "\t"})],
)
def test_separators(tmp_path: Path, name: str, settings: dict[str, str]) -> None:
    assert read(tmp_path / name, "x\ty\n1\tb,c\n", **settings).rows() == [(0, 1, "b,c")]


def test_no_header(tmp_path: Path) -> None:
    found = read(tmp_path / "a.tsv", "1\t\tq\n\t3\t\n", columns=["x", "y", "z"])
    assert found.rows() == [(0, 1, None, "q"), (1, None, 3, None)]


def test_given_types_and_nulls(tmp_path: Path) -> None:
    text = "zip,when,age,ok\n01234,2024-05-06 07:08:09,?,true\n99999,2024-05-07 00:00:00,7,false\n"
    found = read(tmp_path / "a.csv", text, dtypes={"zip": "string", "when": "datetime"}, nulls=["?"])
    assert found.row(0) == (0, "01234", datetime(2024, 5, 6, 7, 8, 9), None, True)  # noqa: DTZ001
    assert found.schema["age"] == pl.Int64


def test_values_that_span_lines_and_hold_separators(tmp_path: Path) -> None:
    text = 'x,note,y\n1,"two\nlines, and a comma",3\n4,plain,5\n'
    found = read(tmp_path / "a.csv", text)
    assert found["note"].to_list() == ["two\nlines, and a comma", "plain"]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", "x,y\n1,2\n\n3,4\n\n")["x"].to_list() == [1, 3]


def test_byte_order_mark_and_carriage_returns(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", b"\xef\xbb\xbfx,y\r\n1,b\r\n").rows() == [(0, 1, "b")]


def test_an_index_without_a_name_as_pandas_writes_it(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", ",x\n0,5\n1,6\n")["x"].to_list() == [5, 6]


def test_gzip(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv.gz", gzip.compress(b"x,y\n1,2\n")).rows() == [(0, 1, 2)]


def test_encodings_of_parquet_become_plain(tmp_path: Path) -> None:
    frame = pl.DataFrame({"c": ["a", None], "e": ["x", "y"], "d": ["1.5", "2.5"], "n": [1.0, float("nan")]})
    frame = frame.cast({"c": pl.Categorical, "e": pl.Enum(["x", "y"]), "d": pl.Decimal(10, 2)})
    frame.write_parquet(tmp_path / "a.parquet")
    found = open_table(TableSpec(path=str(tmp_path / "a.parquet"))).scan().collect()
    assert found.drop(ROW).dtypes == [pl.String, pl.String, pl.Float64, pl.Float64]
    assert found.rows() == [(0, "a", "x", 1.5, 1.0), (1, None, "y", 2.5, None)]


def test_hive_like_folders_add_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "day=1"
    folder.mkdir()
    pl.DataFrame({"x": [1]}).write_parquet(folder / "a.parquet")
    assert open_table(TableSpec(path=str(folder / "a.parquet"))).scan().collect().columns == [ROW, "x"]


def test_names_with_glob_characters(tmp_path: Path) -> None:
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "a[1].parquet")
    assert open_table(TableSpec(path=str(tmp_path / "a[1].parquet"))).scan().collect()["x"].item() == 1
