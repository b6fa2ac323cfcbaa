"""Progress of a long loop: a bar with rate and time left on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from core import log

EVERY_SECONDS = 10.0
"""Time between two plain lines."""


class Progress(Protocol):
    """What a loop tells about itself; safe to call from several threads."""

    def advance(self, n: int) -> None:
        """Say that `n` more units are done."""
        ...

    def note(self, **figures: float | str) -> None:
        """Show figures beside the count, such as the loss."""
        ...


@contextlib.contextmanager
def progress(what: str, total: int | None = None, unit: str = "rows") -> Iterator[Progress]:
    """Show the progress of a block.

    Args:
        what: What is being done, in a few words.
        total: Units to be done, when that is known.
        unit: What is counted.

    Example:
        >>> with progress("read", total=3) as bar:
        ...     bar.advance(3)
    """
    if not log.on_terminal():
        lines = _Lines(what, total, unit)
        yield lines
        lines.finish()
        return
    with _bar(what, total, unit) as bar:
        yield bar


class _Lines:
    """Progress as log lines."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._done, self._figures = 0, ""
        self._lock = threading.Lock()
        self._start = self._told = time.monotonic()

    def advance(self, n: int) -> None:
        with self._lock:
            self._done += n
            now = time.monotonic()
            due = now - self._told >= EVERY_SECONDS
            if due:
                self._told = now
        if due:
            seconds = now - self._start
            log.get("progress").info("%s%s", self._line(seconds), self._left(seconds))

    def note(self, **figures: float | str) -> None:
        self._figures = _shown(figures)

    def finish(self) -> None:
        log.get("progress").info("%s, done", self._line(time.monotonic() - self._start))

    def _left(self, seconds: float) -> str:
        """Time left, at the rate so far."""
        if not self._total or not 0 < self._done < self._total:
            return ""
        return f", about {seconds * (self._total - self._done) / self._done:,.0f} s left"

    def _line(self, seconds: float) -> str:
        of = f" of {self._total:,}" if self._total else ""
        rate = f" ({self._done / seconds:,.0f} a second)" if seconds > 0 else ""
        figures = f", {self._figures}" if self._figures else ""
        return f"{self._what}: {self._done:,}{of} {self._unit} in {seconds:.1f} s{rate}{figures}"


@contextlib.contextmanager
def _bar(what: str, total: int | None, unit: str) -> Iterator[Progress]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[count]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=log.console()) as display:
        task = display.add_task(what, total=total, count="", figures="")
        start = time.monotonic()

        class Bar:
            """Progress as a bar of rich, which has its own lock."""

            def advance(self, n: int) -> None:
                display.advance(task, n)
                done = display.tasks[0].completed
                rate = done / max(time.monotonic() - start, 1e-9)
                display.update(task, count=f"{done:,.0f} {unit}, {rate:,.0f} a second")

            def note(self, **figures: float | str) -> None:
                display.update(task, figures=_shown(figures))

        yield Bar()


def _shown(figures: dict[str, float | str]) -> str:
    return " ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    )
