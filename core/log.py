"""Log lines: rich on a terminal, plain elsewhere, always on the error stream."""

from __future__ import annotations

import functools
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

ROOT = "gyrfalcon"


def get(name: str) -> logging.Logger:
    """The logger of one part of the program.

    Example:
        >>> get("etl").name
        'gyrfalcon.etl'
    """
    return logging.getLogger(f"{ROOT}.{name}")


@functools.cache
def console() -> Console:
    """The one console of the error stream, so that log lines and progress bars don't overwrite each other."""
    from rich.console import Console

    return Console(stderr=True)


def on_terminal() -> bool:
    """Whether a person watches."""
    return sys.stderr.isatty()


def configure(*, verbose: bool = False) -> None:
    """Send the program's log lines to the error stream; call it once, at the start.

    Args:
        verbose: Also tell details.
    """
    logger = logging.getLogger(ROOT)
    logger.handlers = [_rich_handler() if on_terminal() else _plain_handler()]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False


def _rich_handler() -> logging.Handler:
    from rich.logging import RichHandler

    handler = RichHandler(console=console(), show_path=False, markup=False, log_time_format="[%H:%M:%S]")
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def _plain_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
    return handler
