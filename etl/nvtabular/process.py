"""The process in which NVTabular runs: found, started, asked and ended."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import MissingExtra, UserError
from etl.engines.failures import system_error
from etl.nvtabular import worker
from etl.ops.nvt import CURE

PYTHON = "GYRFALCON_NVTABULAR_PYTHON"
"""Environment variable: the interpreter of the environment that holds NVTabular."""
PREFIX = worker.SCRATCH
"""Of the directory in which it works; a worker whose parent is gone removes one that is called so."""
_SCRIPT = Path(worker.__file__)
_CHECKOUT = Path(__file__).parents[2]
_FULL = (errno.ENOSPC, errno.EDQUOT)


def interpreter() -> str:
    """The Python that holds NVTabular: the one named in PYTHON, this one, or that of `make test-nvtabular`.

    Raises:
        MissingExtra: There is none.
    """
    beside = _CHECKOUT / ".venv-nvtabular" / "bin" / "python"
    if os.environ.get(PYTHON):
        return os.environ[PYTHON]
    if importlib.util.find_spec("nvtabular") is not None:
        return sys.executable
    if beside.exists():
        return str(beside)
    raise MissingExtra(
        "NVTabular isn't installed here, and no environment that holds it is known",
        where="engine nvtabular",
        cure=f"{CURE}; another one is named in {PYTHON}",
    )


class Process:
    """NVTabular at work, until `close`.

    Args:
        python: The interpreter.
        scratch: An existing directory: its current one, and the place of its log.

    Raises:
        MissingExtra: The interpreter is missing, or can't import NVTabular.
    """

    def __init__(self, python: str, scratch: Path) -> None:
        self._python, self._log = python, scratch / "log"
        # Polars' handler lets the system go on with a read that an interrupt broke off: with one of hours, here.
        signal.siginterrupt(signal.SIGINT, True)
        try:
            with self._log.open("w") as log:
                self._running = subprocess.Popen(
                    [python, str(_SCRIPT)],
                    cwd=scratch,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    encoding="utf-8",
                )
        except OSError as error:
            raise MissingExtra(f"{python} can't be run ({error.strerror})", where=PYTHON, cure=CURE) from None
        try:
            self._answer("start")
        except UserError as error:
            self.close()
            told = f"NVTabular can't be imported by {python} ({error.what})"
            raise MissingExtra(told, where="engine nvtabular", cure=CURE) from None

    def ask(self, do: str, **what: Any) -> Any:
        """Make a request and wait for the answer; see `etl.nvtabular.worker`.

        Raises:
            UserError: NVTabular failed; the message has its own words.
        """
        assert self._running.stdin is not None
        try:
            self._running.stdin.write(json.dumps({"do": do, **what}) + "\n")
            self._running.stdin.flush()
        except BrokenPipeError:
            raise self._gone(do) from None
        return self._answer(do)

    def close(self) -> None:
        """End it; what it was doing is lost."""
        self._running.kill()
        self._running.wait()
        for pipe in (self._running.stdin, self._running.stdout):
            # What was still to be sent to it has no reader any more.
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def _answer(self, do: str) -> Any:
        assert self._running.stdout is not None
        line = self._running.stdout.readline()
        if not line:
            raise self._gone(do)
        try:
            answer: Mapping[str, Any] = dict(json.loads(line))
        except (ValueError, TypeError):
            told = f"{self._python} answers the {do} with {line.strip()[:80]!r}"
            raise UserError(told, where="engine nvtabular", cure=f"name a Python in {PYTHON}") from None
        if "error" in answer:
            told = f"NVTabular failed in its {do}: {answer['error']}"
            cure = "docs/nvtabular.md lists what its CPU code can't do; or set `etl.engine: cpu`"
            if any(os.strerror(number) in told for number in _FULL):
                cure = _cure(self._log.parent)
            raise UserError(told, where="engine nvtabular", cure=cure)
        return answer["ok"]

    def _gone(self, do: str) -> UserError:
        code = self._running.wait()
        last = (self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing"])[-1]
        return UserError(
            f"the process of NVTabular ended in its {do} with code {code}; its last words: {last[:300]}",
            where="engine nvtabular",
            cure="it may have run out of memory: give it fewer rows, or set `etl.engine: cpu`",
        )


@contextmanager
def room(scratch: Path) -> Iterator[None]:
    """Say of a disk that fills up that it is the one of temporary files, not of the data set.

    Raises:
        UserError: It has filled up.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        refused = system_error(error) or error
        if not isinstance(refused, OSError) or refused.errno not in _FULL:
            raise
        told = f"the disk is full ({os.strerror(refused.errno)})"
        raise UserError(told, where=f"engine nvtabular, {scratch.parent}", cure=_cure(scratch)) from error


def _cure(scratch: Path) -> str:
    return f"free some space in {scratch.parent}, or name another directory in TMPDIR"
