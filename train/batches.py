"""What the training loop needs of where its batches come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from train.batch import Batch


class Batches(Protocol):
    """Where the batches of an epoch come from, such as a `Loader`."""

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        ...

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        ...

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on, the same each time."""
        ...
