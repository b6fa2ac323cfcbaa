"""The little of HTTP that the server needs, over ASGI: a request read whole within a limit, and a response."""

from __future__ import annotations

import json
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON, HTML, TEXT, BYTES = "application/json", "text/html; charset=utf-8", "text/plain", "application/octet-stream"
WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""How zlib reads each content encoding."""


class HttpError(Exception):
    """A request that is answered with a status other than 200 and a message."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


@dataclass(frozen=True)
class Request:
    """A request that has been read whole."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """A response."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, send: Send, *, body: bool = True) -> None:
        """Send it; without its body in answer to HEAD."""
        fields = {"content-type": self.content_type, "content-length": str(len(self.body)), **self.headers}
        headers = [(name.encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body if body else b""})


def json_response(value: Any, status: int = 200) -> Response:
    """A value as a JSON response."""
    return Response(json.dumps(value, ensure_ascii=False).encode(), status)


def error_response(error: HttpError) -> Response:
    """An error in the protocol's words: `{"error": message}`."""
    text = json.dumps({"error": error.message}, ensure_ascii=False).encode("utf-8", "replace")
    return Response(text, error.status, headers=error.headers)


async def read_request(scope: Scope, receive: Receive, limit: int) -> Request:
    """Read a request.

    Args:
        scope: Of ASGI.
        receive: Of ASGI.
        limit: Bytes that a body may have, also when it is unpacked.

    Raises:
        HttpError: The body is larger, or packed in an unknown or broken way, or the client went away.
    """
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared[:19]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HttpError(400, "the client went away")
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > limit:
            raise _too_large(limit)
    body = _unpack(b"".join(parts), headers.get("content-encoding", ""), limit)
    query = scope["query_string"].decode("latin-1")
    return Request(scope["method"], scope["path"], query, headers, body)


def _unpack(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in WINDOWS:
        raise HttpError(415, f"the content encoding must be gzip or deflate, got {encoding!r}")
    unpacker = zlib.decompressobj(WINDOWS[encoding])
    try:
        # A small body can unpack to a huge one: no more than the limit is ever held.
        unpacked = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise HttpError(400, f"the body is not valid {encoding} ({error})") from None
    if len(unpacked) > limit:
        raise _too_large(limit)
    if not unpacker.eof:
        raise HttpError(400, f"the body ends within its {encoding} data")
    return unpacked


def _too_large(limit: int) -> HttpError:
    # The rest of the body is not read, so the connection cannot be used again.
    return HttpError(413, f"the body may have {limit} bytes", {"connection": "close"})
