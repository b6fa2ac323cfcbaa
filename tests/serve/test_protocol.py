"""The server without a socket: right answers, and malformed requests that get a status and a message."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.app import App, make_app
from serve.bundle import Bundle
from serve.protocol import HEAD_LENGTH
from serve.service import Service
from tests.serve import planted
from tests.serve.asgi import Answer, ask

INFER = "/v2/models/ranker/infer"


@pytest.fixture(scope="module")
def app(bundle_path: Path) -> App:
    return make_app(Bundle.open(bundle_path), max_body=20_000, workers=1)


def tensor(name: str, datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}


def good() -> dict[str, Any]:
    """One user against three items."""
    inputs = [
        tensor("user_id", "INT64", [105]),
        tensor("gender", "BYTES", ["F"]),
        tensor("item_id", "BYTES", ["i01", "i02", "unknown"]),
        tensor("year", "INT64", [1981, None, 1983]),
        tensor("hour", "INT64", [None]),
        tensor("age", "FP64", [25]),
        tensor("price", "FP32", [1.5, 3.0, 0]),
    ]
    return {"id": "first", "inputs": inputs}


def change(name: str, **fields: Any) -> dict[str, Any]:
    """The good request with some fields of one input replaced (or removed, when None)."""
    request = good()
    for each in request["inputs"]:
        if each["name"] == name:
            each.update(fields)
            for key in [key for key, value in fields.items() if value is None]:
                del each[key]
    return request


def binary(request: dict[str, Any], parts: dict[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A request whose named inputs travel as raw bytes."""
    for each in request["inputs"]:
        if each["name"] in parts:
            del each["data"]
            each["parameters"] = {"binary_data_size": len(parts[each["name"]])}
    head = json.dumps(request).encode()
    raw = b"".join(parts[each["name"]] for each in request["inputs"] if each["name"] in parts)
    return head + raw, {HEAD_LENGTH: str(len(head))}


def texts(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def scores(answer: Answer) -> list[Any]:
    assert answer.status == 200, answer.body
    (output,) = answer.json["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("score", "FP32", [3])
    return list(output["data"])


def test_json_in_json_out(app: App, bundle_path: Path) -> None:
    answer = ask(app, "POST", INFER, good())
    columns = {
        "user_id": np.array([105]),
        "gender": np.array(["F"], object),
        "item_id": np.array(["i01", "i02", "unknown"], object),
        "year": np.array([1981, -(2**63), 1983]),
        "hour": np.array([-(2**63)]),
        "age": np.array([25.0]),
        "price": np.array([1.5, 3.0, 0], np.float32),
    }
    wanted = Bundle.open(bundle_path).model("ranker").run(columns)
    assert scores(answer) == pytest.approx(wanted.tolist(), abs=1e-7)
    assert (answer.json["id"], answer.json["model_name"], answer.json["model_version"]) == ("first", "ranker", "1")


def test_bytes_in_give_the_same_as_json(app: App) -> None:
    parts = {
        "user_id": struct.pack("<q", 105),
        "item_id": texts(b"i01", b"i02", b"unknown"),
        "year": struct.pack("<3q", 1981, -(2**63), 1983),
        "price": struct.pack("<3f", 1.5, 3.0, 0),
    }
    body, headers = binary(good(), parts)
    assert scores(ask(app, "POST", INFER, body, headers)) == scores(ask(app, "POST", INFER, good()))


def test_a_score_that_is_no_number_is_null_in_json(app: App) -> None:
    # The planted workflow fills no price, so a row without one has no score.
    found = scores(ask(app, "POST", INFER, change("price", data=[1.5, None, 0])))
    assert found[1] is None
    assert found[::2] == pytest.approx(scores(ask(app, "POST", INFER, good()))[::2])


@pytest.mark.parametrize(
    "wish",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "score", "parameters": {"binary_data": True}}]},
    ],
)
def test_bytes_out(app: App, wish: dict[str, Any]) -> None:
    answer = ask(app, "POST", INFER, good() | wish)
    length = int(answer.headers[HEAD_LENGTH])
    head = json.loads(answer.body[:length])
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 12}
    raw = np.frombuffer(answer.body[length:], "<f4")
    assert raw.tolist() == pytest.approx(scores(ask(app, "POST", INFER, good())), abs=1e-7)


def test_an_outputs_own_word_counts_before_the_requests(app: App) -> None:
    outputs = [{"name": "score", "parameters": {"binary_data": False}}]
    answer = ask(app, "POST", INFER, good() | {"parameters": {"binary_data_output": True}, "outputs": outputs})
    assert HEAD_LENGTH not in answer.headers
    assert len(scores(answer)) == 3


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_bodies(app: App, encoding: str, pack: Any) -> None:
    body = json.dumps(good()).encode()
    answer = ask(app, "POST", INFER, pack(body), {"content-encoding": encoding})
    assert scores(answer) == scores(ask(app, "POST", INFER, good()))


def test_the_retriever_gives_vectors(app: App) -> None:
    inputs = [tensor("user_id", "INT64", [105, 7]), tensor("gender", "BYTES", ["F"]), tensor("age", "FP64", [None])]
    answer = ask(app, "POST", "/v2/models/retriever/versions/1/infer", {"inputs": inputs})
    assert answer.json["outputs"][0]["shape"] == [2, planted.WIDTH]
    assert len(answer.json["outputs"][0]["data"]) == 2 * planted.WIDTH


def test_metadata_and_health(app: App) -> None:
    for path in (
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/ranker/ready",
        "/v2/models/ranker/versions/1/ready",
    ):
        assert ask(app, "GET", path).status == 200
    assert ask(app, "GET", "/v2").json["extensions"] == ["binary_tensor_data"]
    model = ask(app, "GET", "/v2/models/ranker").json
    assert {each["name"]: each["datatype"] for each in model["inputs"]}["price"] == "FP32"
    assert model["outputs"] == [{"name": "score", "datatype": "FP32", "shape": [-1]}]
    assert ask(app, "GET", "/v2/models/retriever").json["outputs"][0]["shape"] == [-1, planted.WIDTH]
    page = ask(app, "GET", "/")
    assert b"/v2/models/ranker/infer" in page.body
    assert page.headers["content-type"].startswith("text/html")
    assert ask(app, "HEAD", "/").body == b""


STRING = b"\x05\x00\x00\x00i0"
BAD_BODIES = {
    "not json": (b"{", "not valid JSON"),
    "deep json": (b"[" * 15_000, "not valid JSON"),
    "not text": (b"\xff\xfe\x00", "not valid JSON"),
    "a list": (b"[]", "must be a JSON object"),
    "empty": (b"", "not valid JSON"),
    "no inputs": ({}, "a list `inputs`"),
    "inputs no list": ({"inputs": {"user_id": 1}}, "a list `inputs`"),
    "inputs of numbers": ({"inputs": [1]}, "a list `inputs`"),
    "no name": ({"inputs": [{}]}, "no input None"),
    "unknown input": ({"inputs": [tensor("user", "INT64", [1])]}, "no input 'user'; did you mean user_id"),
    "missing inputs": ({"inputs": [tensor("user_id", "INT64", [1])]}, "inputs are missing: gender, item_id"),
    "given twice": ({"inputs": [tensor("user_id", "INT64", [1])] * 2}, "user_id: the input is given twice"),
    "wrong datatype": (change("age", datatype="FP32"), "age: the datatype must be FP64, got 'FP32'"),
    "no datatype": (change("age", datatype=None), "age: the datatype must be FP64, got None"),
    "matrix": (change("age", shape=[1, 1]), r"age: the shape must be [rows] or [1], got [1, 1]"),
    "scalar": (change("age", shape=[]), "age: the shape must be"),
    "no shape": (change("age", shape=None), "age: the shape must be"),
    "negative": (change("age", shape=[-1]), "age: the shape must be"),
    "zero": (change("age", shape=[0], data=[]), "age: the shape must be"),
    "fraction": (change("age", shape=[1.0]), "age: the shape must be"),
    "huge": (change("age", shape=[10**12]), "the shape says 1000000000000 values, data hold 1"),
    "too few": (change("age", shape=[2]), "age: the shape says 2 values, data hold 1"),
    "other length": (change("year", shape=[2], data=[1, 2]), "one common length"),
    "no data": (change("age", data=None), "age: data must be a list"),
    "nested": (change("age", data=[[25]]), "age: the value must be a number, got [25]"),
    "text for a number": (change("age", data=["25"]), "age: the value must be a number, got '25'"),
    "fraction for an int": (change("user_id", data=[1.5]), "user_id: the value must be a whole number"),
    "bool for an int": (change("user_id", data=[True]), "user_id: the value must be a whole number"),
    "too large an int": (change("user_id", data=[2**63]), "user_id: the value does not fit 64 bits"),
    "number for a text": (change("gender", data=[1]), "gender: the value must be a text, got 1"),
    "bytes without head": (change("age", parameters={"binary_data_size": 8}), "binary_data_size must be"),
    "negative bytes": (change("age", parameters={"binary_data_size": -1}), "binary_data_size must be"),
    "shared memory": (change("age", parameters={"shared_memory_region": "x"}), "shared memory is not offered"),
    "parameters a list": (change("age", parameters=[1]), "parameters cannot be used"),
    "id a number": (good() | {"id": 7}, "`id` must be a text"),
    "unknown output": (good() | {"outputs": [{"name": "scores"}]}, "no output 'scores'; it has score"),
    "outputs no list": (good() | {"outputs": 3}, "`outputs` must be a list"),
    "classes": (
        good() | {"outputs": [{"name": "score", "parameters": {"classification": 3}}]},
        "neither classification",
    ),
    "request parameters": (good() | {"parameters": 3}, "`parameters` must be an object"),
}


@pytest.mark.parametrize(("body", "message"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_malformed_bodies_get_400_and_the_server_lives_on(app: App, body: Any, message: str) -> None:
    answer = ask(app, "POST", INFER, body)
    assert (answer.status, list(answer.json)) == (400, ["error"])
    assert message in answer.json["error"]
    assert ask(app, "POST", INFER, good()).status == 200


BAD_BYTES = {
    "truncated number": ({"user_id": b"\0" * 7}, "user_id: 1 values take 8 bytes, got 7"),
    "too many numbers": ({"user_id": b"\0" * 16}, "user_id: 1 values take 8 bytes, got 16"),
    "truncated text": ({"gender": STRING}, "gender: the bytes end within a text"),
    "truncated length": ({"gender": b"\1\0"}, "gender: the bytes end within the length of a text"),
    "length beyond all": ({"gender": b"\xff\xff\xff\xffa"}, "gender: the bytes end within a text"),
    "two texts for one": ({"gender": texts(b"a", b"b")}, "gender: the shape says 1 values, the bytes hold 2"),
    "not utf-8": ({"gender": texts(b"\xff")}, "gender: a text is not UTF-8"),
}


@pytest.mark.parametrize(("parts", "message"), BAD_BYTES.values(), ids=BAD_BYTES.keys())
def test_malformed_bytes(app: App, parts: dict[str, bytes], message: str) -> None:
    body, headers = binary(good(), parts)
    answer = ask(app, "POST", INFER, body, headers)
    assert answer.status == 400
    assert message in answer.json["error"]


@pytest.mark.parametrize("length", ["-1", "x", "", "999999", "1e3", "²", "9" * 50])
def test_a_head_length_that_cannot_be(app: App, length: str) -> None:
    answer = ask(app, "POST", INFER, json.dumps(good()), {HEAD_LENGTH: length.encode("latin-1").decode("latin-1")})
    assert answer.status == 400


def test_bytes_cut_off_and_bytes_left_over(app: App) -> None:
    body, headers = binary(good(), {"user_id": b"\0" * 8})
    assert (
        "binary_data_size must be a length within the body" in ask(app, "POST", INFER, body[:-1], headers).json["error"]
    )
    assert "1 bytes follow behind the last input" in ask(app, "POST", INFER, body + b"\0", headers).json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/v2/models/rankr/infer", 404, "there is no model 'rankr'; did you mean ranker"),
        ("GET", "/v2/models/nothing", 404, "there is no model"),
        ("POST", "/v2/models/ranker/versions/2/infer", 404, "only version 1"),
        ("GET", "/v2/models/ranker/versions", 404, "only version 1"),
        ("GET", "/v2/models/ranker/predict", 404, "there is no path"),
        ("GET", "/nothing", 404, "there is no path '/nothing'"),
        ("GET", INFER, 405, "this path takes POST"),
        ("POST", "/v2", 405, "this path takes GET"),
        ("DELETE", "/recommend", 405, "GET and POST"),
    ],
)
def test_wrong_paths_and_methods(app: App, method: str, path: str, status: int, message: str) -> None:
    answer = ask(app, method, path)
    assert answer.status == status
    assert message in answer.json["error"]


def test_bodies_that_are_too_large(app: App) -> None:
    large = b" " * 20_001
    for headers in ({}, {"content-length": str(len(large))}, {"content-length": "9" * 40}):
        assert ask(app, "POST", INFER, large, headers).status == 413
    bomb = gzip.compress(b" " * 10_000_000)
    assert len(bomb) < 20_000
    assert ask(app, "POST", INFER, bomb, {"content-encoding": "gzip"}).status == 413


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 400), ("deflate", 400), ("br", 415)])
def test_broken_packing(app: App, encoding: str, status: int) -> None:
    assert ask(app, "POST", INFER, b"nothing packed", {"content-encoding": encoding}).status == status
    cut = gzip.compress(json.dumps(good()).encode())[:-20]
    assert ask(app, "POST", INFER, cut, {"content-encoding": "gzip"}).status == 400


def test_recommend_by_get_and_post(app: App) -> None:
    got = ask(app, "GET", "/recommend?user=105&k=3&age=30&gender=F").json
    posted = ask(app, "POST", "/recommend", {"user": 105, "k": 3, "features": {"age": 30, "gender": "F"}}).json
    assert got["items"] == posted["items"]
    assert len(got["items"]) == 3
    assert [stage["name"] for stage in got["stages"]] == ["candidates", "filtering", "ranking"]
    assert ask(app, "GET", "/recommend").json["known"] is False
    assert ask(app, "GET", "/recommend?user=105").json["known"] is True


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"usr": 1}, "unknown key 'usr'; did you mean user"),
        ({"features": [1]}, "`features` must be an object"),
        ({"features": {"agee": 1}}, "agee: there is no such feature; did you mean age"),
        ({"k": 0}, "k must be a whole number"),
        ({"user": [1]}, "a user id is a whole number or a text"),
        ("{", "not valid JSON"),
        ("3", "must be a JSON object"),
    ],
)
def test_wrong_recommend_bodies(app: App, body: Any, message: str) -> None:
    answer = ask(app, "POST", "/recommend", body)
    assert answer.status == 400
    assert message in answer.json["error"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("k=x", "k: the value must be a whole number, got 'x'"),
        ("user=me", "user ids are whole numbers here"),
        ("age=old", "age: the value must be a number, got 'old'"),
        ("hour=1.5", "hour: the value must be a whole number"),
        ("colour=red", "colour: there is no such feature"),
    ],
)
def test_wrong_recommend_queries(app: App, query: str, message: str) -> None:
    answer = ask(app, "GET", f"/recommend?{query}")
    assert answer.status == 400
    assert message in answer.json["error"]


def test_metrics_count(bundle_path: Path) -> None:
    app = make_app(Bundle.open(bundle_path), workers=1)
    ask(app, "POST", INFER, good())
    ask(app, "POST", INFER, b"{")
    ask(app, "GET", "/recommend?user=101")
    text = ask(app, "GET", "/metrics").body.decode()
    assert 'gyrfalcon_requests_total{endpoint="infer",status="200"} 1.0' in text
    assert 'gyrfalcon_requests_total{endpoint="infer",status="400"} 1.0' in text
    assert 'gyrfalcon_rows_total{model="ranker"} 3.0' in text
    assert f'gyrfalcon_dropped_items_total{{reason="already seen",stage="filtering"}} {planted.ITEMS}.0' in text


def test_our_own_fault_is_500_and_tells_nothing(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    app = make_app(Bundle.open(bundle_path), workers=1)
    monkeypatch.setattr(Service, "_infer", broken)
    answer = ask(app, "POST", INFER, good())
    assert answer.status == 500
    assert "secret" not in answer.json["error"]
    assert "a secret" in caplog.text


def test_a_bundle_without_items_serves_its_ranker(tmp_path: Path) -> None:
    path = planted.bundle(tmp_path, planted.parts(tmp_path / "data", entities=False, retriever=False))
    app = make_app(Bundle.open(path), workers=1)
    assert len(scores(ask(app, "POST", INFER, good()))) == 3
    answer = ask(app, "GET", "/recommend?user=1")
    assert answer.status == 404
    assert "knows no items" in answer.json["error"]
