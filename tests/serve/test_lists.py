"""A bundle whose users and items have lists among their raw columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.dataset import Dataset
from core.errors import UserError
from core.files import write_json
from core.schema import Column, DType, Schema, Tag
from etl.fitted import Fitted
from etl.ops import Categorify, ListColumns
from etl.workflow import Workflow
from serve.app import App, make_app
from serve.bundle import Bundle
from serve.columns import encode, parse
from serve.lists import joined, split
from serve.onnx_export import _check_names
from serve.parts import Parts
from serve.protocol import HEAD_LENGTH
from serve.recommend import Recommender
from serve.signature import Input, Signature
from serve.verify import verify
from tests.serve import planted
from tests.serve.asgi import ask
from tests.serve.planted import ITEMS, USERS, WIDTH, Additive, Ranker, Retriever
from train.batch import Features

INFER = "/v2/models/ranker/infer"
TAGS = {
    "user_id": {Tag.USER, Tag.USER_ID},
    "tags": {Tag.USER},
    "item_id": {Tag.ITEM, Tag.ITEM_ID},
    "years": {Tag.ITEM},
}
SCHEMA = Schema(
    (
        Column("user_id", DType.INT64, frozenset(TAGS["user_id"])),
        Column("tags", DType.STRING, frozenset(TAGS["tags"]), is_list=True),
        Column("item_id", DType.STRING, frozenset(TAGS["item_id"])),
        Column("years", DType.INT16, frozenset(TAGS["years"]), is_list=True),
    )
)


def users() -> pl.DataFrame:
    tags = [[None, [], ["a"], ["b", "a"], ["a", None, "c"]][n % 5] for n in range(USERS)]
    return planted.users().select("user_id").with_columns(tags=pl.Series(tags, dtype=pl.List(pl.String)))


def items() -> pl.DataFrame:
    years = [[None, [], [1990], [2000 + n, 1990, 7]][n % 4] for n in range(ITEMS)]
    named = planted.items().select("item_id", "title")
    return named.with_columns(years=pl.Series(years, dtype=pl.List(pl.Int16)))


def workflow() -> tuple[Fitted, pl.DataFrame]:
    pairs = planted.seen()
    rows = users()[pairs["__user__"]].hstack(items().drop("title")[pairs["__item__"]])
    lists = ["tags", "years"] >> Categorify() >> ListColumns(2)
    return Workflow(["user_id", "item_id"] >> Categorify(), lists, tags=TAGS).fit(rows), rows


def write_data(path: Path, fitted: Fitted, rows: pl.DataFrame) -> Dataset:
    """What the ETL would write of the users and items above."""
    data = Dataset(path)
    for folder in ("entities", "raw"):
        (data.path / folder).mkdir(parents=True)
    SCHEMA.write(data.raw_schema_file)
    write_json(data.path / "manifest.json", {"title": "title", "rows": {"train": 100}})
    rows.sample(60, seed=1).write_parquet(data.sample_file)
    for side, table in (("user", users()), ("item", items())):
        table.write_parquet(data.entity_file(f"{side}s"))
        names = [column.name for column in fitted.schema if Tag(side) in column.tags]
        fitted.transform(table, columns=names).collect().write_parquet(data.features_file(side))
    planted.liked().write_parquet(data.interactions_file)
    return data


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("lists")
    fitted, rows = workflow()
    data = write_data(base / "data", fitted, rows)
    both, user, item = (Features.of(fitted.schema, *tags) for tags in ((), (Tag.USER,), (Tag.ITEM,)))
    towers = Retriever(Additive(user, width=WIDTH, seed=2), Additive(item, width=WIDTH, seed=3), user, item)
    return planted.bundle(base, Parts(data, fitted, Ranker(Additive(both), both), towers))


@pytest.fixture(scope="module")
def app(path: Path) -> App:
    return make_app(Bundle.open(path), max_body=20_000, workers=1)


def test_it_gives_what_was_trained(path: Path):
    assert verify(path).ok


def test_the_signature_survives_its_file(path: Path):
    signature = Bundle.open(path).signatures["ranker"]
    assert signature == Signature.from_json(json.loads(json.dumps(signature.to_json())))
    assert [item.name for item in signature.inputs if item.is_list] == ["tags", "years"]
    rules = {one["name"]: one["null"] for one in signature.to_json()["inputs"]}
    assert rules == {"user_id": "INT64_MIN", "tags": "empty list", "item_id": "empty string", "years": "empty list"}
    names = [item.name for item in signature.tensors]
    assert names == ["user_id", "item_id", "tags__values", "tags__offsets", "years__values", "years__offsets"]


def test_recommendations_know_the_lists_of_items(path: Path):
    recommender = Recommender(Bundle.open(path), candidates=30)
    found = recommender.recommend(103, k=5)
    assert len(found.items) == 5
    listed = [item.columns["years"] for item in recommender.recommend(None, k=30).items]
    assert any(isinstance(one, list) and len(one) == 3 for one in listed)
    shown = json.loads(json.dumps(found.to_json()))
    assert [item["columns"]["years"] for item in shown["items"]] == [item.columns["years"] for item in found.items]


def test_a_list_that_is_given_replaces_the_known_one(path: Path):
    recommender = Recommender(Bundle.open(path), candidates=30)
    scores = [
        [item.score for item in recommender.recommend(103, {"tags": tags}, k=5).items]
        for tags in (["b", "a"], ["a", "b"], [], None)
    ]
    known = [item.score for item in recommender.recommend(103, k=5).items]
    assert scores[0] == known
    assert scores[1] != known
    assert scores[2] == scores[3]


@pytest.mark.parametrize("value", ["a", 5, {"a": 1}, [1], [["a"]]])
def test_a_wrong_list_is_named(path: Path, value: Any):
    recommender = Recommender(Bundle.open(path))
    with pytest.raises(UserError, match="tags: the value must be"):
        recommender.recommend(103, {"tags": value})


def tensor(name: str, datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}


def request(**changed: list[Any]) -> dict[str, Any]:
    """One user against three items."""
    given: dict[str, tuple[str, list[Any]]] = {
        "user_id": ("INT64", [103]),
        "tags__values": ("BYTES", ["b", "a"]),
        "tags__offsets": ("INT64", [0, 2]),
        "item_id": ("BYTES", ["i01", "i02", "i03"]),
        "years__values": ("INT64", [1990, 2003, 1990, 7]),
        "years__offsets": ("INT64", [0, 0, 1, 4]),
    }
    tensors = [tensor(name, kind, changed.get(name, data)) for name, (kind, data) in given.items()]
    return {"inputs": [one for one in tensors if one["data"] is not None and changed.get(one["name"], 1) != ["gone"]]}


def scores(app: App, body: Any, headers: dict[str, str] | None = None) -> list[float]:
    answer = ask(app, "POST", INFER, body, headers)
    assert answer.status == 200, answer.body
    return list(answer.json["outputs"][0]["data"])


def test_requests_over_the_wire(app: App, path: Path):
    columns = {
        "user_id": np.array([103]),
        "tags": encode(users()["tags"][3:4], "string"),
        "item_id": np.array(["i01", "i02", "i03"], object),
        "years": encode(items()["years"][1:4], "int64"),
    }
    wanted = Bundle.open(path).model("ranker").run(columns)
    assert scores(app, request()) == pytest.approx(wanted.tolist(), abs=1e-7)
    assert len(set(wanted.tolist())) == 3


def test_empty_lists_and_bytes(app: App):
    empty = request(tags__values=[], tags__offsets=[0, 0], years__values=[], years__offsets=[0, 0])
    assert len(scores(app, empty)) == 3
    body = request()
    raw = np.array([1990, 2003, 1990, 7], np.int64).tobytes()
    for each in body["inputs"]:
        if each["name"] == "years__values":
            del each["data"]
            each["parameters"] = {"binary_data_size": len(raw)}
    head = json.dumps(body).encode()
    assert scores(app, head + raw, {HEAD_LENGTH: str(len(head))}) == scores(app, request())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"tags__offsets": [0, 1]}, "tags__offsets: offsets must rise from 0 to the number of values (2)"),
        ({"tags__offsets": [1, 2]}, "offsets must rise"),
        ({"years__offsets": [0, 3, 1, 4]}, "offsets must rise"),
        ({"tags__offsets": [0]}, "offsets must rise"),
        ({"tags__offsets": ["gone"]}, "tags__values needs tags__offsets beside it"),
        ({"tags__values": ["gone"]}, "tags__offsets needs tags__values beside it"),
        ({"years__values": [1990, "x", 1990, 7]}, "years__values"),
        ({"user_id": []}, "the shape must be [rows] or [1]"),
        ({"years__offsets": [0, 1, 4]}, "inputs must have one common length"),
    ],
)
def test_wrong_tensors_are_named(app: App, changed: dict[str, list[Any]], told: str):
    answer = ask(app, "POST", INFER, request(**changed))
    assert answer.status == 400
    assert told in answer.json["error"]


def test_a_query_gives_lists_with_commas(app: App):
    by_query = ask(app, "GET", "/recommend?user=103&k=3&tags=a,b").json
    by_body = ask(app, "POST", "/recommend", {"user": 103, "k": 3, "features": {"tags": ["a", "b"]}}).json
    assert by_query["items"] == by_body["items"]


def test_the_model_describes_its_tensors(app: App):
    told = {one["name"]: one["datatype"] for one in ask(app, "GET", "/v2/models/ranker").json["inputs"]}
    assert told["years__values"] == told["years__offsets"] == "INT64"
    assert told["tags__values"] == "BYTES"


def test_a_column_with_the_name_of_a_lists_tensor_is_refused():
    clash = (Input("tags", "string", "string", "user", is_list=True), Input("tags__values", "int64", "int64", "user"))
    with pytest.raises(UserError, match="tags__values: a raw column cannot have this name") as caught:
        _check_names(clash, "score")
    assert caught.value.cure == "rename it"
    _check_names(clash[:1], "score")


def test_columns_both_ways():
    item = Input("x", "int64", "int64", "user", is_list=True)
    column = encode(pl.Series("x", [[1, 2], None, [], [3, None]], dtype=pl.List(pl.Int8)), "int64")
    assert [one.tolist() for one in column] == [[1, 2], [], [], [3, -(2**63)]]
    values, offsets = joined(column, np.dtype(np.int64))
    assert [one.tolist() for one in split(values, offsets, "x")] == [one.tolist() for one in column]
    assert parse(item, None)[0].tolist() == parse(item, [])[0].tolist() == []
    assert parse(item, [4, None])[0].tolist() == [4, -(2**63)]
    same = Signature((item,), "score")
    assert same.check({"x": column}) == 4
    with pytest.raises(UserError, match="x: the input must be arrays of int64, one a row"):
        same.check({"x": np.array([1, 2])})
