"""The server on a real socket: tritonclient unchanged, concurrent requests, a graceful end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from serve.app import make_app
from serve.bundle import Bundle
from serve.server import listen
from serve.service import Service
from serve.signature import Array
from tests.serve.live import running

ROOT = Path(__file__).parents[2]
ROWS = 50


@pytest.fixture(scope="module")
def port(bundle_path: Path) -> Iterator[int]:
    with running(make_app(Bundle.open(bundle_path))) as number:
        yield number


@pytest.fixture(scope="module")
def columns() -> dict[str, Array]:
    """One user against many items."""
    rng = np.random.default_rng(0)
    return {
        "user_id": np.array([105]),
        "gender": np.array(["F"], object),
        "item_id": np.array([f"i{n:02}" for n in rng.integers(0, 60, ROWS)], object),
        "year": rng.integers(1970, 2030, ROWS),
        "hour": np.array([-(2**63)]),
        "age": np.array([float("nan")]),
        "price": rng.random(ROWS).astype(np.float32),
    }


def client(port: int) -> tuple[Any, Any]:
    """A client of tritonclient, and its module."""
    import tritonclient.http as triton

    return triton.InferenceServerClient(f"127.0.0.1:{port}"), triton


def inputs(triton: Any, columns: dict[str, Array], *, binary: bool) -> list[Any]:
    kinds = {"int64": "INT64", "float64": "FP64", "float32": "FP32", "object": "BYTES"}
    found = []
    for name, values in columns.items():
        # A NaN has no word in JSON.
        as_bytes = binary or values.dtype.kind == "f"
        found.append(triton.InferInput(name, [len(values)], kinds[str(values.dtype)]))
        found[-1].set_data_from_numpy(values, binary_data=as_bytes)
    return found


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tritonclient_infers(
    port: int, bundle_path: Path, columns: dict[str, Array], binary_in: bool, binary_out: bool
) -> None:
    service, triton = client(port)
    wanted = [triton.InferRequestedOutput("score", binary_data=binary_out)]
    answer = service.infer("ranker", inputs(triton, columns, binary=binary_in), outputs=wanted, request_id="seven")
    np.testing.assert_array_equal(answer.as_numpy("score"), Bundle.open(bundle_path).model("ranker").run(columns))
    assert answer.get_response()["id"] == "seven"


@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_tritonclient_packs(port: int, columns: dict[str, Array], packing: str | None) -> None:
    service, triton = client(port)
    given = inputs(triton, columns, binary=True)
    assert len(service.infer("ranker", given, request_compression_algorithm=packing).as_numpy("score")) == ROWS


def test_tritonclient_asks_about_the_server(port: int) -> None:
    service, _ = client(port)
    assert service.is_server_live()
    assert service.is_server_ready()
    assert service.is_model_ready("ranker")
    assert service.is_model_ready("retriever", "1")
    assert not service.is_model_ready("nothing")
    assert service.get_server_metadata()["name"] == "gyrfalcon"
    assert service.get_model_metadata("ranker")["outputs"][0]["name"] == "score"


def test_tritonclient_gets_the_message_of_an_error(port: int, columns: dict[str, Array]) -> None:
    service, triton = client(port)
    with pytest.raises(triton.InferenceServerException, match="inputs are missing: year"):
        service.infer("ranker", inputs(triton, {n: v for n, v in columns.items() if n != "year"}, binary=True))


def test_many_at_once_over_kept_connections(port: int) -> None:
    def ask(number: int) -> list[Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        found = []
        for user in (100 + number, 999, 100 + number):
            connection.request("GET", f"/recommend?user={user}&k=5")
            found.append(json.load(connection.getresponse())["items"])
        connection.close()
        return found

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(12)))
    assert all(first == again for first, _, again in answers)
    assert len({json.dumps(cold) for _, cold, _ in answers}) == 1


def test_a_kept_connection_answers_at_once(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        connection.request("GET", "/v2")
        connection.getresponse().read()
        times.append(time.perf_counter() - start)
    connection.close()
    # Nagle's delay against delayed acknowledgements would make it 40 ms each.
    assert np.median(times) < 0.03


def test_health_answers_while_inference_is_slow(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    infer = Service._infer

    def slow(self: Service, name: str, request: Any) -> Any:
        begun.set()
        go_on.wait(20)
        return infer(self, name, request)

    monkeypatch.setattr(Service, "_infer", slow)
    with running(make_app(Bundle.open(bundle_path), workers=2)) as port, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(_post, port, "/v2/models/ranker/infer", b"{}")
        assert begun.wait(20)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/v2/health/live")
        assert connection.getresponse().status == 200
        connection.close()
        go_on.set()
        assert pending.result(20) == 400


def test_a_body_beyond_the_limit_is_not_read(bundle_path: Path) -> None:
    with running(make_app(Bundle.open(bundle_path), max_body=1000)) as port:
        assert _post(port, "/v2/models/ranker/infer", b" " * 1001) == 413
        assert _post(port, "/v2/models/ranker/infer", b" " * 999) == 400


def test_garbage_on_the_socket_leaves_the_server_alive(port: int) -> None:
    for garbage in (b"\0\1\2\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST /v2 HTTP/1.1\r\ncontent-length: x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), 5) as raw:
            raw.sendall(garbage)
            raw.settimeout(5)
            raw.recv(1000)
    assert _post(port, "/recommend", b"{}") == 200


def test_a_taken_port_is_the_users_to_mend(port: int) -> None:
    with pytest.raises(UserError, match=rf"127\.0\.0\.1:{port}: cannot listen here .*choose another --port"):
        listen("127.0.0.1", port)
    with pytest.raises(UserError, match="the port must be between"):
        listen("127.0.0.1", 70_000)
    with pytest.raises(UserError, match="cannot listen here"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_gracefully(bundle_path: Path, number: signal.Signals) -> None:
    code = (
        "from pathlib import Path; from core import log; from serve.app import serve\n"
        f"log.configure(); serve(Path({str(bundle_path)!r}), port=0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], stderr=subprocess.PIPE, env=environment, cwd=ROOT, text=True
    ) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stderr.readline())
            assert found
            assert _wait_for(int(found[1])) == 200
            process.send_signal(number)
            assert process.wait(20) == 0
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def _post(port: int, path: str, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", path, body)
        return connection.getresponse().status
    finally:
        connection.close()


def _wait_for(port: int) -> int:
    """The log names the port when the socket listens, so the request waits until the server takes it."""
    return _post(port, "/recommend", b'{"user": 105}')
