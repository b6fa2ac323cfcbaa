"""A cluster under watch: a worker that goes away is noticed, and whoever waits for it is let go.

Workers that exchange rows wait for each other. When one of them dies, the others, and with them the client, would
wait for it for ever; so the watch closes the client, whose call then ends with an error.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self

EVERY = 1.0
"""Seconds between two looks."""
_CLOSING = 2


class Watch:
    """Looks at the workers of a client now and then, in a thread, until one of them is gone.

    Args:
        client: A `distributed.Client`.
        every: Seconds between two looks.
    """

    def __init__(self, client: Any, *, every: float = EVERY) -> None:
        self._client, self._every = client, every
        self._before = workers_of(client)
        self._stop = threading.Event()
        self._lost: tuple[str, ...] = ()
        self._thread = threading.Thread(target=self._look, name="cluster-watch", daemon=True)

    @property
    def lost(self) -> tuple[str, ...]:
        """Addresses of the workers that went away."""
        return self._lost

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        # A call can end with an error before the next look.
        if error is not None and not self._lost:
            self._check()

    def _look(self) -> None:
        while not self._stop.wait(self._every):
            if self._check():
                self._client.close(timeout=_CLOSING)
                return

    def _check(self) -> bool:
        try:
            now = workers_of(self._client)
        except (OSError, RuntimeError, TimeoutError):
            # The scheduler doesn't answer: all of its workers are as good as gone.
            now = frozenset()
        self._lost = tuple(sorted(self._before - now))
        return bool(self._lost)


def workers_of(client: Any) -> frozenset[str]:
    """Addresses of the workers that a client's scheduler knows."""
    return frozenset(client.scheduler_info(n_workers=-1)["workers"])
