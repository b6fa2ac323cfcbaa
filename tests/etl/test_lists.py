"""Columns of lists from Parquet to the data set on disk."""

from __future__ import annotations

import polars as pl
import pytest

from core import schema_pbtxt
from core.errors import UserError
from core.schema import DType, Tag
from etl.fitted import Fitted
from etl.ops import Categorify, Groupby, HashBucket, ListSlice, LogOp, ValueCount
from etl.types import polars_type
from etl.workflow import Workflow
from tests.contract.operators import GpuLikeEngine
from tests.etl.conftest import Desk, items, log

GENRES = [["a", "b"], ["a"], None, [], ["c", None], ["a"], ["b"], ["a", "b", "c"]]
"""Of the items i9, i6, i5, i4, i3, i2, i1, i0."""


@pytest.fixture
def films(desk: Desk) -> Desk:
    """Items with lists of strings, integers and numbers; events with a history."""
    own = items().with_columns(
        genres=pl.Series(GENRES, dtype=pl.List(pl.String)),
        awards=pl.Series([[1], [2, 2], None, [], [1, None], [7], [1], [1]], dtype=pl.List(pl.Int16)),
    )
    events = log().with_columns(
        seen=pl.Series([[f"i{row % 3}", f"i{row % 5}"][: row % 3] for row in range(60)], dtype=pl.List(pl.String))
    )
    desk.sources["items"]["path"] = desk.write("items.parquet", own)
    desk.sources["interactions"]["path"] = desk.write("log.parquet", events)
    desk.spec["features"] = [
        {"columns": ["user_id"], "ops": ["categorify"]},
        {"columns": [["item_id", "seen"]], "ops": ["categorify"]},
        {"columns": ["genres"], "ops": ["categorify", "value_count"]},
        {
            "columns": ["awards"],
            "ops": [{"hash_bucket": {"num_buckets": 5}}, {"list_slice": {"start": 2, "pad": True}}],
        },
    ]
    return desk


def test_a_data_set_with_lists(films: Desk):
    dataset = films.prepare()
    schema = dataset.schema()
    assert [column.name for column in schema if column.is_list] == ["seen", "genres", "awards"]
    for split in ("train", "valid", "test"):
        rows = pl.read_parquet(dataset.files(split))
        for column in schema:
            assert rows.schema[column.name] == polars_type(column)
        assert rows["genres"].null_count() == 0
    assert schema["genres"].tags == {Tag.CATEGORICAL, Tag.ITEM}
    assert schema["genres"].properties == {"value_count": {"min": 0, "max": 3}}
    assert schema["awards"].properties["value_count"] == {"min": 2, "max": 2}
    assert schema["seen"].properties == {"domain": {"name": "item_id_seen"}}
    assert dataset.raw_schema()["genres"].is_list


def test_the_items_know_their_lists(films: Desk):
    dataset = films.prepare()
    rows = pl.read_parquet(dataset.features_file("item"))
    names = pl.read_parquet(dataset.entity_file("items"))["item_id"].to_list()
    found = dict(zip(names, rows["genres"].to_list(), strict=True))
    a, b = found["i2"][0], found["i1"][0]
    assert found["i9"] == [a, b]
    assert found["i5"] == found["i4"] == []
    assert found["i3"][1] == 1
    assert len(found["i0"]) == 3


def test_an_item_has_one_id_wherever_it_stands(films: Desk):
    dataset = films.prepare()
    fitted = Fitted.load(dataset.workflow_dir)
    rows = pl.DataFrame({"item_id": ["i0", "i2"], "seen": [["i2", "new"], ["i0"]]})
    made = fitted.transform(rows, ["item_id", "seen"]).collect()
    assert made["seen"].to_list() == [[made["item_id"][1], 2], [made["item_id"][0]]]


def test_merlin_is_told_of_the_lists(films: Desk):
    dataset = films.prepare()
    read = schema_pbtxt.read(dataset.path / "schema.pbtxt")
    assert [column.to_json() for column in read] == [column.to_json() for column in dataset.schema()]
    assert "value_count" in (dataset.path / "schema.pbtxt").read_text()


def test_the_same_rows_give_the_same_bytes(films: Desk):
    first, second = films.prepare(), films.prepare()
    for one, other in zip(first.files("train"), second.files("train"), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_texts_in_lists_are_refused_as_a_feature(films: Desk):
    films.spec["features"] = [{"columns": ["genres"], "ops": [{"list_slice": {"start": 2}}]}]
    with pytest.raises(UserError, match="feature genres: a model can't read lists of string; end with categorify"):
        films.prepare()


FRAME = pl.DataFrame({"x": [[1, 2], [3], None], "y": [1, 2, 3]})


def test_an_operator_of_single_values_says_so():
    with pytest.raises(UserError, match="column x: log takes single values.*list_slice"):
        Workflow(["x"] >> LogOp()).fit(FRAME)


@pytest.mark.parametrize("operator", [ListSlice(2), ValueCount()])
def test_an_operator_of_lists_says_so(operator):
    with pytest.raises(UserError, match=f"column y: {operator.kind} takes lists"):
        Workflow(["y"] >> operator).fit(FRAME)


def test_lists_of_lists_are_refused():
    with pytest.raises(UserError, match="column x: lists of lists"):
        Workflow(["x"] >> Categorify()).fit(pl.DataFrame({"x": [[[1]]]}))


def test_lists_must_stay_lists():
    fitted = Workflow(["x"] >> HashBucket(3)).fit(FRAME)
    with pytest.raises(UserError, match="column x: the column was fitted on lists and holds single values now"):
        fitted.transform(pl.DataFrame({"x": [1]}))
    assert fitted.input_schema["x"].dtype == DType.INT64


def test_lists_that_groupby_makes_on_every_engine():
    """A session in NVTabular's way: sort, group to lists, ids, the last two."""
    frame = pl.DataFrame({"who": [1, 2, 1, 1, 2], "when": [3, 1, 1, 2, 2], "what": ["c", "x", "a", "b", "y"]})
    grouped = ["who", "when", "what"] >> Groupby(["who"], ["when"], {"what": "list"})
    workflow = Workflow((grouped - ["what_list"]) + ((grouped - ["who"]) >> Categorify() >> ListSlice(-2, pad=True)))
    for engine in (None, GpuLikeEngine()):
        fitted = workflow.fit(frame, engine)
        query = fitted.transform(frame, engine=engine)
        made = query.collect() if engine is None else engine.collect([query])[0]
        assert made.sort("who").to_dict(as_series=False) == {"who": [1, 2], "what_list": [[4, 5], [6, 7]]}
