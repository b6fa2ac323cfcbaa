"""Seconds and rates of the phases of a stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core import log


@dataclass
class Phase:
    """One phase; who runs it says how many rows went through."""

    rows: int = 0
    seconds: float = 0.0


@dataclass
class Phases:
    """Measures phases by wall clock.

    Example:
        >>> phases = Phases()
        >>> with phases("read") as read:
        ...     read.rows = 5
        >>> sorted(phases.figures()["read"])
        ['rows', 'rows_per_second', 'seconds']
    """

    done: dict[str, Phase] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[Phase]:
        """Measure a block."""
        phase, start = Phase(), time.perf_counter()
        yield phase
        phase.seconds = time.perf_counter() - start
        self.done[name] = phase
        log.get("etl").info("%s: %s rows in %.1f s", name, f"{phase.rows:,}", phase.seconds)

    def figures(self) -> dict[str, dict[str, float]]:
        """Name -> rows, seconds and rows a second."""
        return {
            name: {
                "rows": phase.rows,
                "seconds": phase.seconds,
                "rows_per_second": phase.rows / phase.seconds if phase.seconds else 0.0,
            }
            for name, phase in self.done.items()
        }
