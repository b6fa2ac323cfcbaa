"""Exit codes and messages: 2 where the user can mend it, 130 for an interrupt, 1 for a fault of ours."""

from __future__ import annotations

import functools
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import ParamSpec

import typer

P = ParamSpec("P")
OK, OURS, USERS, INTERRUPTED = 0, 1, 2, 130
DEBUG = "GYRFALCON_DEBUG"
"""Environment variable: show the traceback of an error."""


def show_tracebacks(wanted: bool) -> None:
    """Show the traceback of an error from now on, beside its message."""
    if wanted:
        os.environ[DEBUG] = "1"


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """A command that ends with one message and an exit code instead of a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        _listen()
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt as error:
            _say(str(error) or "interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # Who read our output has gone; nothing more can be said, and the interpreter must not try at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(OK) from None
        except Exception as error:  # noqa: BLE001 - the one place where every error ends
            raise typer.Exit(_tell(error)) from None

    return run


def _listen() -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    # Polars puts a handler of its own before ours when it is imported; set after that, ours would replace it, and a
    # query could no longer be interrupted.
    if "polars" not in sys.modules:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # One interrupt is told twice where it ends a query: by Polars, and by the handler in the first line that cleans up
    # after it, which would end the cleaning. For the same reason a second one, of the impatient, waits.
    if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
        raise KeyboardInterrupt


def _tell(error: Exception) -> int:
    """Say what went wrong: the exit code."""
    from pipeline.failures import as_user_error

    if isinstance(error, typer.Exit):
        return error.exit_code
    known = as_user_error(error, Path.cwd())
    if os.environ.get(DEBUG):
        _say("".join(traceback.format_exception(error)))
    if known is not None:
        for line in str(known).splitlines():
            _say(f"error: {line}")
        return USERS
    told = str(error) or type(error).__name__
    _say(f"internal error: {type(error).__name__}: {told}")
    if not os.environ.get(DEBUG):
        again = shlex.join(["gyrfalcon", "--debug", *sys.argv[1:]])
        _say(f"this is a fault of gyrfalcon, not yours; the traceback: {again}")
    return OURS


def _say(line: str) -> None:
    typer.echo(line, err=True)
