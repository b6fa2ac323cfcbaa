"""The event files of a training, which TensorBoard shows: `tensorboard --logdir runs/NAME`.

They hold times, and a run that was killed leaves one file an attempt, so they are no part of a result: their names
begin with `core.files.EVENTS`, and no hash of a directory counts them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from core.files import EVENTS
from train.track import records


class Events:
    """Writes numbers by step into a new event file, until the block ends.

    Args:
        directory: Where the file goes; TensorBoard shows the directory as one run.
        step: Steps that are done when this process begins. At 0 the files of earlier trainings are removed; later they
            stay, and what they hold of further steps is void.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Events(Path(folder), step=0) as events:
        ...     events.write(1, {"train/loss": 0.7})
        ...     len(list(Path(folder).iterdir()))
        1
    """

    def __init__(self, directory: Path, *, step: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        if step == 0:
            for old in directory.glob(f"{EVENTS}*"):
                old.unlink()
        # TensorBoard reads the files of a directory in the order of their names.
        self._file = (directory / f"{EVENTS}{time.time_ns():020d}").open("wb")
        self._add(records.header(time.time()))
        self._add(records.start(time.time(), step + 1))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add numbers after so many steps, by tag such as `train/loss`."""
        self._add(records.scalars(time.time(), step, values))

    def flush(self) -> None:
        """Hand what was written to the file system."""
        self._file.flush()

    def _add(self, message: bytes) -> None:
        self._file.write(records.record(message))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
