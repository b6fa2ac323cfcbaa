"""The server as an ASGI application: reads requests, answers them on worker threads, turns faults into JSON."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

from core import log
from core.errors import UserError
from serve.bundle import Bundle
from serve.http import HttpError, Receive, Request, Response, Scope, Send, error_response, read_request
from serve.metrics import Metrics
from serve.server import run_server
from serve.service import Handler, Service

MAX_BODY = 64 * 2**20
"""Bytes that a request may have: a million rows of eight numbers."""
PORT = 8000


class App:
    """One bundle behind ASGI.

    Args:
        bundle: An opened bundle.
        max_body: Bytes that a request may have.
        workers: Requests that are computed at once; by default the number of cores.

    Raises:
        UserError: A part of the bundle is broken.
    """

    def __init__(self, bundle: Bundle, *, max_body: int = MAX_BODY, workers: int | None = None) -> None:
        self._metrics = Metrics()
        self._service = Service(bundle, self._metrics)
        self._max_body = max_body
        self._workers = ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="infer")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's message, as ASGI 3 has it."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            raise RuntimeError(f"this application does not speak {scope['type']}")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self._workers.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, endpoint = perf_counter(), "unknown"
        try:
            request = await read_request(scope, receive, self._max_body)
            endpoint, handler = self._service.route(request)
            # Inference takes milliseconds: on the loop's own thread it would hold up every other request.
            loop = asyncio.get_running_loop()
            response = await loop.run_in_executor(self._workers, _guarded, handler, request)
        except HttpError as error:
            response = error_response(error)
        self._metrics.requests.labels(endpoint, str(response.status)).inc()
        self._metrics.seconds.labels(endpoint).observe(perf_counter() - start)
        await response.send(send, body=scope["method"] != "HEAD")


def _guarded(handler: Handler, request: Request) -> Response:
    """Answer, turning the client's faults into 400 and our own into 500; the server lives on."""
    try:
        return handler(request)
    except UserError as error:
        raise HttpError(400, str(error)) from None
    except HttpError:
        raise
    except Exception:  # noqa: BLE001 - one request must not end the server
        log.get("serve").exception("a request failed: %s %s", request.method, request.path)
        raise HttpError(500, "the server failed on this request; its log says more") from None


def make_app(bundle: Bundle, *, max_body: int = MAX_BODY, workers: int | None = None) -> App:
    """Make the ASGI application of a bundle; see `App`."""
    return App(bundle, max_body=max_body, workers=workers)


def serve(path: Path, host: str = "127.0.0.1", port: int = PORT) -> None:
    """Serve a bundle until the process is told to stop (SIGINT or SIGTERM); running requests are finished.

    Raises:
        UserError: The bundle is broken, or the address cannot be used.
    """
    run_server(make_app(Bundle.open(path)), host, port)
