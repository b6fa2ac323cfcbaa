"""uvicorn around the application: a socket that is ours before anything is said, and a graceful end."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from core import log
from core.errors import UserError

if TYPE_CHECKING:
    import uvicorn

GRACE = 10
"""Seconds that running requests get to finish when the server is told to stop."""
BACKLOG = 512


def run_server(app: Any, host: str, port: int) -> None:
    """Serve an application until SIGINT or SIGTERM.

    Args:
        app: An ASGI application.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one, which the log tells.

    Raises:
        UserError: The address cannot be used.
    """
    import uvicorn

    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    log.get("serve").info("listening on http://%s:%d", shown, listener.getsockname()[1])
    try:
        with _signals_end_quietly():
            uvicorn.Server(configure(app)).run(sockets=[listener])
    finally:
        listener.close()


def configure(app: Any) -> uvicorn.Config:
    """How uvicorn runs an application: our own log, and an end that waits for running requests."""
    import uvicorn

    return uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=GRACE, server_header=False
    )


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """Let a stop be a good end: uvicorn raises the signal that stopped it once more."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        UserError: The port is taken, or the address is not one of this machine.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"the port must be between 0 and 65535, got {port}", where="--port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's delay (40 ms a request) only where the socket names its protocol.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        cure = "choose another --port or --host"
        raise UserError(f"cannot listen here ({error.strerror})", where=f"{host}:{port}", cure=cure) from None
    return listener
