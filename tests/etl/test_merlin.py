"""Vocabularies of NVTabular are taken over with their ids; a broken file gives one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import UserError
from core.schema import DType
from etl.features import FeatureSpec
from etl.ops import Categorify
from etl.ops.given import named_tables, placed
from etl.values.merlin import merlin_vocabularies, read_vocabulary
from etl.workflow import Workflow, from_spec
from tests.etl.nvtabular.peer import installed


def write(path: Path, table: dict[str, list], start: int | None = 3, ids: list[int] | None = None) -> Path:
    """A file as pandas writes it: the index is a range that only the metadata know, or a column."""
    index = {"kind": "range", "name": None, "start": start, "stop": 0, "step": 1}
    columns: list = [] if start is None else [index]
    if ids is not None:
        table, columns = {**table, "__index_level_0__": ids}, ["__index_level_0__"]
    path.parent.mkdir(exist_ok=True)
    made = pa.table(table)
    pq.write_table(made.replace_schema_metadata({"pandas": json.dumps({"index_columns": columns})}), path)
    return path


@pytest.fixture
def city(tmp_path: Path) -> Path:
    return write(tmp_path / "categories" / "unique.city.parquet", {"city": ["Rome", "Oslo"], "city_size": [5, 9]})


def test_values_counts_and_first_id(city: Path):
    given = read_vocabulary(city, ["city"], [DType.STRING])
    assert given.first == 3
    assert given.table.to_dict(as_series=False) == {"value": ["Rome", "Oslo"], "count": [5, 9]}


def test_ids_are_kept(city: Path):
    frame = pl.DataFrame({"city": ["Oslo", "Bonn", "Bonn", None]})
    for vocabs in ({"city": str(city)}, {"city": city}, str(city.parent), str(city.parent.parent), city.parent):
        fitted = Workflow(["city"] >> Categorify(vocabs=vocabs)).fit(frame)
        assert fitted.transform(frame).collect()["city"].to_list() == [4, 2, 2, 1]
    assert merlin_vocabularies(city.parent) == {"city": str(city)}


def test_a_saved_workflow_needs_the_files_no_more(city: Path, tmp_path: Path):
    frame = pl.DataFrame({"city": ["Oslo", "Bonn"]})
    fitted = Workflow(["city"] >> Categorify(vocabs=str(city.parent))).fit(frame)
    fitted.save(tmp_path / "workflow")
    city.unlink()
    loaded = type(fitted).load(tmp_path / "workflow")
    assert loaded.transform(frame).collect()["city"].to_list() == [4, 2]
    assert loaded.update(frame).transform(frame).collect()["city"].to_list() == [4, 2]


def test_paths_of_a_config_start_from_its_directory(city: Path):
    files = FeatureSpec.model_validate({"columns": ["city"], "ops": [{"categorify": {"vocabs": "categories"}}]})
    (feature,) = placed([files], city.parent.parent)
    frame = pl.DataFrame({"city": ["Oslo"]})
    assert from_spec([feature]).fit(frame).transform(frame).collect()["city"].to_list() == [4]
    # Where they lie isn't part of the settings.
    assert feature.model_dump() == files.model_dump()
    # A file that changes makes the stage run again.
    assert [table.path for table in named_tables([feature])] == [(str(city),)]
    gone = FeatureSpec.model_validate(
        {"columns": ["city"], "ops": [{"categorify": {"vocabs": {"city": "no.parquet"}}}]}
    )
    assert named_tables([gone])[0].path[0].endswith("no.parquet")
    assert named_tables([FeatureSpec.model_validate({"columns": ["city"], "ops": ["categorify"]})]) == []


def test_combinations_and_groups(tmp_path: Path):
    write(tmp_path / "unique.a_b.parquet", {"a": [None, "x"], "b": [1.0, None], "a_b_size": [3, 2]})
    frame = pl.DataFrame({"a": ["x", None, None, "x"], "b": [None, 1, None, 1]}, schema_overrides={"b": pl.Int64})
    fitted = Workflow([["a", "b"]] >> Categorify(encode_type="combo", vocabs=str(tmp_path))).fit(frame)
    assert fitted.transform(frame).collect()["a_b"].to_list() == [4, 3, 1, 2]
    write(tmp_path / "unique.c_d.parquet", {"c_d": [7, 5]})
    frame = pl.DataFrame({"c": [5, 6], "d": [7, 5]})
    fitted = Workflow([["c", "d"]] >> Categorify(vocabs=str(tmp_path))).fit(frame)
    assert fitted.transform(frame).collect().rows() == [(4, 3), (2, 4)]


def test_a_directory_of_parts(tmp_path: Path):
    base = tmp_path / "unique.n.parquet"
    for number, (values, start) in enumerate([([99, 98], 4), *(([90 - n], 6 + n) for n in range(10))]):
        write(base / f"part.{number}.parquet", {"n": values, "n_size": [1] * len(values)}, start)
    given = read_vocabulary(base, ["n"], [DType.INT64])
    assert (given.first, given.table["value"].to_list()) == (4, [99, 98, *range(90, 80, -1)])


def test_a_name_that_looks_like_a_pattern(tmp_path: Path):
    file = write(tmp_path / "unique.x[0].parquet", {"x[0]": ["b", "a"]})
    meta(file, 3, 2)
    assert merlin_vocabularies(tmp_path) == {"x[0]": str(file)}
    assert read_vocabulary(file, ["x[0]"], [DType.STRING]).table["value"].to_list() == ["b", "a"]


def test_a_vocabulary_without_values(tmp_path: Path):
    file = write(tmp_path / "unique.x.parquet", {"x": pa.array([None], pa.string()), "x_size": [0]})
    assert read_vocabulary(file, ["x"], [DType.STRING]).table.height == 0
    meta(file, 3, 1)
    assert read_vocabulary(file, ["x"], [DType.STRING]).table.height == 0


def test_a_part_of_combinations_without_values(tmp_path: Path):
    """pandas writes a column of nothing but nulls as floats."""
    table = {"a": pa.array([None, None], pa.float64()), "b": ["x", "y"], "a_b_size": [2, 1]}
    file = write(tmp_path / "unique.a_b.parquet", table)
    given = read_vocabulary(file, ["a", "b"], [DType.INT64, DType.STRING])
    assert given.table.rows() == [(None, "x", 2), (None, "y", 1)]


def test_a_plain_file_starts_where_the_settings_say(tmp_path: Path):
    pl.DataFrame({"x": ["b", "a"]}).write_parquet(tmp_path / "mine.parquet")
    operator = Categorify(vocabs={"x": str(tmp_path / "mine.parquet")}, num_buckets=4)
    frame = pl.DataFrame({"x": ["a", "b"]})
    assert Workflow(["x"] >> operator).fit(frame).transform(frame).collect()["x"].to_list() == [7, 6]


def test_an_empty_text_keeps_its_id_to_itself(tmp_path: Path):
    """NVTabular knows the empty string as a value; here it is null, and the others keep their ids."""
    from tests.contract.serving import Served, assert_same

    write(tmp_path / "unique.x.parquet", {"x": ["", "a"], "x_size": [4, 2]})
    frame = pl.DataFrame({"x": ["a", "", None, "b"]})
    fitted = Workflow(["x"] >> Categorify(vocabs=str(tmp_path))).fit(frame)
    assert fitted.transform(frame).collect()["x"].to_list() == [4, 1, 1, 2]
    assert_same(fitted, Served(fitted), frame)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"table": {"x": ["a", "b", "a"]}}, "the vocabulary holds 'a' more than once"),
        ({"table": {"x": ["a", None]}}, "value 2 of the vocabulary is null"),
        ({"table": {"x": [None, "b", "a"]}, "start": None}, "begins with null, as NVTabular wrote it before 23.06"),
        ({"table": {"x": [None, "b"], "x_size": [3, 2]}, "start": 0}, "begins with null, as NVTabular wrote it before"),
        ({"table": {"x": [1, 2]}}, "the vocabulary holds int64, and the column string"),
        ({"table": {"y": ["a"]}}, "the vocabulary has no column x"),
        ({"table": {"x": ["a", "b", "c"]}, "ids": [3, 4, 6]}, "must follow one another, but 6 comes after 4"),
        ({"table": {"x": ["a", "b"]}, "ids": [4, 3]}, "must follow one another, but 3 comes after 4"),
        ({"table": {"x": ["a", "b"]}, "start": 5}, "ids of the vocabulary start at 5, .*; set num_buckets: 3"),
        *(
            (
                {"table": {"x": ["a", "b"]}, "start": start},
                f"ids of the vocabulary start at {start}, .*; write the vocabulary with NVTabular",
            )
            for start in (1, 2)
        ),
    ],
)
def test_a_broken_file(tmp_path: Path, table: dict, told: str):
    file = write(tmp_path / "unique.x.parquet", **table)
    with pytest.raises(UserError, match=told) as caught:
        Workflow(["x"] >> Categorify(vocabs={"x": str(file)})).fit(pl.DataFrame({"x": ["a"]}))
    assert caught.value.cure
    assert "unique.x.parquet" in str(caught.value)


def meta(path: Path, offset: int, count: int) -> None:
    kinds = {"kind": ["pad", "null", "oov", "unique"], "offset": [0, 1, 2, offset], "num_indices": [1, 1, 1, count]}
    pl.DataFrame(kinds).write_parquet(path.with_name(path.name.replace("unique", "meta")))


def test_the_file_beside_must_say_the_same(city: Path):
    for offset, count, told in (
        (3, 2, None),
        (4, 2, "start at 3, and meta.city.parquet says 4"),
        (3, 5, "2 values, and"),
    ):
        meta(city, offset, count)
        if told is None:
            assert read_vocabulary(city, ["city"], [DType.STRING]).first == 3
            continue
        with pytest.raises(UserError, match=told):
            read_vocabulary(city, ["city"], [DType.STRING])
    city.with_name("meta.city.parquet").write_text("edited by hand")
    with pytest.raises(UserError, match=r"meta.city.parquet: the file can't be read"):
        read_vocabulary(city, ["city"], [DType.STRING])


@pytest.mark.parametrize("value", [2.5, float("inf"), 2.0**53])
def test_numbers_that_are_not_whole(tmp_path: Path, value: float):
    file = write(tmp_path / "unique.x.parquet", {"x": [1.0, value]})
    with pytest.raises(UserError, match="not whole"):
        read_vocabulary(file, ["x"], [DType.INT64])


def test_files_that_are_no_vocabularies(tmp_path: Path):
    frame = pl.DataFrame({"x": ["a"]})
    for vocabs, told in (
        (str(tmp_path / "none"), "there are no vocabularies of NVTabular"),
        ({"x": str(tmp_path / "none.parquet")}, "there is no such vocabulary"),
        ({"x": str(tmp_path)}, "holds no part.N.parquet"),
    ):
        with pytest.raises(UserError, match=told):
            Workflow(["x"] >> Categorify(vocabs=vocabs)).fit(frame)
    (tmp_path / "unique.x.parquet").write_text("edited by hand")
    with pytest.raises(UserError, match="can't be read as Parquet"):
        Workflow(["x"] >> Categorify(vocabs=str(tmp_path))).fit(frame)
    write(tmp_path / "unique.x.parquet", {"x": ["a"]})
    with pytest.raises(UserError, match="there is no vocabulary of y here"):
        Workflow(["x", "y"] >> Categorify(vocabs=str(tmp_path))).fit(frame.with_columns(y=pl.col("x")))


@pytest.mark.nvtabular
@installed
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("settings", [{}, {"num_buckets": 3, "max_size": 7}, {"split_out": 2}])
def test_the_ids_of_the_real_one(tmp_path: Path, settings: dict):
    import nvtabular
    import pandas as pd

    frame = pd.DataFrame({"s": ["b", "a", "b", None, "c", "d"] * 3, "i": [5, 5, 5, 7, 7, 9] * 3})
    theirs = nvtabular.Workflow(["s", "i"] >> nvtabular.ops.Categorify(out_path=str(tmp_path), **settings))
    theirs.fit(nvtabular.Dataset(frame, npartitions=2))
    expected = theirs.transform(nvtabular.Dataset(frame)).to_ddf().compute()
    mine = pl.DataFrame(frame.to_dict("list"))
    operator = Categorify(vocabs=str(tmp_path), num_buckets=settings.get("num_buckets"))
    made = Workflow(["s", "i"] >> operator).fit(mine).transform(mine).collect()
    for name in ("s", "i"):
        known = made[name] >= 2 + settings.get("num_buckets", 1)
        assert known.any()
        assert made[name].filter(known).to_list() == [
            one for one, keep in zip(expected[name], known, strict=True) if keep
        ]
