"""Whatever is wrong with the data or the settings: one message with the place and the cure, and nothing written."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import UserError

from .conftest import Desk, items, log, users


def refused(desk: Desk, *parts: str) -> UserError:
    """Prepare, and expect an error that holds all parts."""
    with pytest.raises(UserError) as caught:
        desk.prepare()
    for part in parts:
        assert part in str(caught.value)
    assert not (desk.path / f"out{desk.runs}" / "manifest.json").exists()
    assert not list((desk.path / f"out{desk.runs}").glob(".tmp-*"))
    return caught.value


def give(desk: Desk, frame: pl.DataFrame | str | bytes, name: str = "odd.parquet") -> None:
    desk.sources["interactions"] = {"path": desk.write(name, frame)}


def test_missing_file_names_the_nearest(desk: Desk) -> None:
    desk.sources["interactions"] = {"path": str(desk.path / "lög.parquet")}
    refused(desk, "lög.parquet: there is no such file", "did you mean", "log.parquet")


def test_missing_directory(desk: Desk) -> None:
    desk.sources["interactions"] = {"path": str(desk.path / "gone" / "deep" / "log.parquet")}
    refused(desk, "there is no such file", f"the directory {desk.path / 'gone'} isn't there")


def test_glob_without_matches(desk: Desk) -> None:
    desk.sources["interactions"] = {"path": str(desk.path / "part*.csv")}
    refused(desk, "no file matches this pattern")


def test_directory_in_place_of_a_file(desk: Desk) -> None:
    desk.sources["interactions"] = {"path": str(desk.path)}
    refused(desk, "this is a directory", "*.parquet")


def test_unknown_suffix(desk: Desk) -> None:
    give(desk, "a,b\n1,2\n", "log.dat")
    refused(desk, "log.dat", "doesn't tell the format", "format: csv")


def test_a_file_given_twice(desk: Desk) -> None:
    path = desk.write("x.parquet", log())
    desk.sources["interactions"] = {"path": [path, path]}
    refused(desk, "the file is given twice")


def test_missing_column_suggests_one(desk: Desk) -> None:
    desk.spec["features"] = [{"columns": ["citty"], "ops": ["categorify"]}]
    refused(desk, "there is no column citty (a feature)", "did you mean city?")


def test_missing_role(desk: Desk) -> None:
    give(desk, log().rename({"stamp": "when"}))
    refused(desk, "there is no column stamp (the time role)")


def test_missing_title(desk: Desk) -> None:
    desk.sources["title"] = "name"
    refused(desk, "there is no column name (the title)", "items.parquet")


def test_missing_id_in_the_users_table(desk: Desk) -> None:
    desk.sources["users"] = {"path": desk.write("u.parquet", users().rename({"user_id": "id"}))}
    refused(desk, "u.parquet: there is no column user_id (the id of users)")


@pytest.mark.parametrize("name", ["device", "stamp", "rating"])
def test_column_that_is_all_null(desk: Desk, name: str) -> None:
    desk.spec["features"] = [{"columns": ["device"], "ops": ["categorify"]}]
    give(desk, log().with_columns(pl.lit(None, log().schema[name]).alias(name)))
    refused(desk, f"the column {name} holds no value at all")


def test_column_that_is_all_nan(desk: Desk) -> None:
    desk.spec["features"] = [{"columns": ["x"], "ops": ["normalize"]}]
    give(desk, log().with_columns(x=float("nan")))
    refused(desk, "the column x holds no value at all")


@pytest.mark.parametrize("name", ["user_id", "item_id", "stamp", "rating"])
def test_null_in_a_role_or_the_target(desk: Desk, name: str) -> None:
    give(desk, log().with_columns(pl.when(pl.int_range(pl.len()) != 3).then(name).alias(name)))
    refused(desk, f"the column {name} is null in 1 rows")


def test_target_with_one_class(desk: Desk) -> None:
    desk.spec["target"] = {"column": "rating", "at_least": 6}
    refused(desk, "target rating", "training rows are negative")


def test_target_with_one_class_in_the_training_rows_alone(desk: Desk) -> None:
    late = pl.col("stamp") > 988
    give(desk, log().with_columns(rating=pl.when(late).then("rating").otherwise(5)))
    refused(desk, "training rows are positive")


def test_label_outside_0_and_1(flat: Desk) -> None:
    give(flat, pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"], "click": [0, 1, 3]}))
    refused(flat, "the label 3 in row 2 is neither 0 nor 1", "at_least")


def test_label_that_is_text(flat: Desk) -> None:
    give(flat, pl.DataFrame({"a": [1, 2], "b": ["x", "y"], "click": ["yes", "no"]}))
    refused(flat, "target click", "not 0 and 1", "equals")


def test_rule_that_does_not_go_with_the_column(desk: Desk) -> None:
    desk.spec["target"] = {"column": "device", "at_least": 3}
    refused(desk, "target device", "can't be compared with 3.0")
    desk.spec["target"] = {"column": "rating", "equals": "5"}
    refused(desk, "target rating", "can't be compared with '5'")


def test_target_as_a_feature_leaks(desk: Desk) -> None:
    desk.spec["features"] = [{"columns": ["rating"], "ops": ["normalize"]}]
    refused(desk, "the column rating is the target and a feature")


def test_empty_split(desk: Desk) -> None:
    desk.spec["split"] = {"by": "user_time", "valid": 0.01, "test": 0.2}
    refused(desk, "etl.split: the valid split is empty", "test 12")


def test_split_by_time_without_a_time(desk: Desk) -> None:
    desk.sources["roles"] = {"user": "user_id", "item": "item_id"}
    refused(desk, "etl.split", "needs the time role", "data.roles.time")


def test_split_value_that_is_not_named(desk: Desk) -> None:
    desk.spec["split"] = {"by": "column", "column": "device", "train": ["phone"], "test": ["pad"]}
    refused(desk, "column device", "'tv'")


def test_split_values_of_another_type(desk: Desk) -> None:
    desk.spec["split"] = {"by": "column", "column": "device", "train": [1], "test": [2]}
    refused(desk, "column device", "type String")


def test_duplicate_names_in_a_csv(flat: Desk) -> None:
    give(flat, "a,b,a,click\n1,2,3,0\n", "twice.csv")
    refused(flat, "twice.csv:1: two columns are called a")


def test_duplicate_names_in_parquet(flat: Desk) -> None:
    path = flat.path / "twice.parquet"
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    flat.sources["interactions"] = {"path": str(path)}
    refused(flat, "twice.parquet: two columns are called a")


def test_reserved_names(flat: Desk) -> None:
    give(flat, "a,__row__,click\n1,2,0\n", "row.csv")
    refused(flat, "row.csv:1: a column is called __row__, a name that is reserved")
    give(flat, pl.DataFrame({"__split__": [1]}))
    refused(flat, "odd.parquet: a column is called __split__")


BROKEN = {
    "too many fields": ("a,b,click\n1,x,0\n2,y,1,9\n3,z,0\n", ":3: this line has 4 fields"),
    "too few fields": ("a,b,click\n1,x,0\n2\n3,z,0\n", ":3: this line has 1 fields"),
    "cut in the last line": ("a,b,click\n1,x,0\n2,y,1\n3,z", ":4: this line has 2 fields"),
    "below a value of two lines": ('a,b,click\n1,"x\ny",0\n2,y,1,9\n3,z,0\n', ":4: this line has 4 fields"),
    "open quote": ('a,b,click\n1,x,0\n2,"y,1\n3,z,0\n', ":3: this line"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_line_of_a_csv(flat: Desk, case: str) -> None:
    text, told = BROKEN[case]
    give(flat, text, "broken.csv")
    refused(flat, f"broken.csv{told}")


def test_text_that_is_not_utf8(flat: Desk) -> None:
    give(flat, "a,b,click\n1,x,0\n2,Zürich,1\n".encode("latin-1"), "latin.csv")
    refused(flat, "latin.csv:3: this line is not UTF-8", "convert")


def test_header_that_is_not_utf8(flat: Desk) -> None:
    give(flat, "a,ü,click\n1,x,0\n".encode("latin-1"), "latin.csv")
    refused(flat, "latin.csv:1", "not UTF-8")


@pytest.mark.parametrize("text", ["", "a,b,click\n"])
def test_empty_csv(flat: Desk, text: str) -> None:
    give(flat, text, "empty.csv")
    refused(flat, "empty.csv")


def test_empty_parquet(flat: Desk) -> None:
    give(flat, pl.DataFrame(schema={"a": pl.Int64, "b": pl.String, "click": pl.Int8}))
    refused(flat, "odd.parquet: there are no rows")


def test_parquet_cut_in_half(desk: Desk) -> None:
    whole = Path(desk.write("whole.parquet", log())).read_bytes()
    give(desk, whole[: len(whole) // 2])
    refused(desk, "odd.parquet: this is not a whole Parquet file", "cut short")


def test_parquet_with_a_broken_page(desk: Desk) -> None:
    whole = bytearray(Path(desk.write("whole.parquet", log())).read_bytes())
    whole[4:200] = bytes(196)
    desk.write("good.parquet", log())
    desk.sources["interactions"] = {"path": [str(desk.path / "good.parquet"), desk.write("bad.parquet", bytes(whole))]}
    refused(desk, "bad.parquet")


def test_broken_page_of_a_lone_parquet_file(flat: Desk) -> None:
    frame = pl.DataFrame({"a": range(400), "b": ["x"] * 400, "click": [0, 1] * 200})
    whole = bytearray(Path(flat.write("whole.parquet", frame)).read_bytes())
    whole[4:200] = bytes(196)
    give(flat, bytes(whole))
    refused(flat, "odd.parquet: a part of this Parquet file can't be read")


def test_text_called_parquet(desk: Desk) -> None:
    give(desk, b"user_id,item_id\n1,2\n")
    refused(desk, "odd.parquet: this is not a whole Parquet file")


@pytest.mark.parametrize("change", [{"rating": "rating@"}, {"rating": "float"}])
def test_parquet_files_whose_schemas_differ(desk: Desk, change: dict[str, str]) -> None:
    one = desk.write("one.parquet", log())
    other = log().cast({"rating": pl.Float64}) if change == {"rating": "float"} else log().rename(change)
    desk.sources["interactions"] = {"path": [one, desk.write("two.parquet", other)]}
    refused(desk, "the column rating is of type Int64 in", "one.parquet", "two.parquet")


def test_csv_files_whose_headers_differ(flat: Desk) -> None:
    one, two = flat.write("one.csv", "a,b,click\n1,x,0\n"), flat.write("two.csv", "a,c,click\n1,x,0\n")
    flat.sources["interactions"] = {"path": [one, two]}
    refused(flat, "two.csv:1: the header differs", "one.csv", "column b")


def test_csv_and_parquet_as_one_table(flat: Desk) -> None:
    paths = [flat.write("one.csv", "a,b,click\n1,x,0\n"), flat.write("two.parquet", log())]
    flat.sources["interactions"] = {"path": paths}
    refused(flat, "one.csv is a CSV and", "two.parquet a Parquet file")


def test_ids_that_are_floats(desk: Desk) -> None:
    give(desk, log().cast({"user_id": pl.Float64}))
    refused(desk, "the id column user_id holds Float64", "integers or strings")


def test_ids_of_different_kinds(desk: Desk) -> None:
    desk.sources["users"] = {"path": desk.write("u.parquet", users().cast({"user_id": pl.String}))}
    refused(desk, "the column user_id is of type Int64 in", "u.parquet", "String")


def test_duplicate_id_in_the_items_table(desk: Desk) -> None:
    desk.sources["items"] = {"path": desk.write("i.parquet", pl.concat([items(), items()[3:5]]))}
    refused(desk, "i.parquet: the id 'i3' has more than one row")


def test_users_table_with_a_row_without_an_id(desk: Desk) -> None:
    gone = users().with_columns(user_id=pl.when(pl.col("user_id") > 10).then("user_id"))
    desk.sources["users"] = {"path": desk.write("u.parquet", gone)}
    refused(desk, "u.parquet: 1 rows have no user_id")


def test_a_column_in_two_tables(desk: Desk) -> None:
    give(desk, log().with_columns(age=1))
    refused(desk, "the column age is in", "odd.parquet", "users.parquet", "rename")


def test_a_time_that_is_text(desk: Desk) -> None:
    give(desk, log().cast({"stamp": pl.String}))
    refused(desk, "column stamp: the time column holds String", "datetime")


def test_a_time_that_is_too_large(desk: Desk) -> None:
    give(desk, log().with_columns(stamp=pl.col("stamp") * 1e300))
    refused(desk, "engine cpu", "conversion")


def test_an_operator_that_takes_no_lists(desk: Desk) -> None:
    desk.spec["features"] = [{"columns": ["tags"], "ops": ["normalize"]}]
    give(desk, log().with_columns(tags=pl.concat_list("rating", "stamp")))
    refused(desk, "column tags", "lists")


def test_dtypes_of_an_unknown_column(flat: Desk) -> None:
    flat.sources["interactions"]["dtypes"] = {"zip": "string"}
    refused(flat, "`dtypes` names the column zip")
