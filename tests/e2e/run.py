"""Runs the command line as a person does: in a process of its own."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from core.files import RETIRED, TEMPORARY

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "configs" / "smoke.yaml"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
COMMAND = [sys.executable, "-W", "error", "-m", "pipeline.cli"]


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Its lines of error."""
        return [line for line in self.err.splitlines() if line.startswith(("error:", "internal error:"))]


def gyrfalcon(*words: str | Path, cwd: Path = ROOT, limits: str = "") -> Outcome:
    """Run a command; `limits` are shell commands before it, such as `ulimit -f 100`."""
    command = [*COMMAND, *map(str, words)]
    if limits:
        command = ["bash", "-c", f'{limits}; exec "$@"', "bash", *command]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, timeout=240, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def in_process(*words: str | Path) -> Outcome:
    """Run a command in this process, which saves the imports."""
    from typer.testing import CliRunner

    from pipeline.cli import app

    logger = logging.getLogger("gyrfalcon")
    before = logger.handlers, logger.propagate, logger.level
    handler = signal.getsignal(signal.SIGTERM)
    try:
        result = CliRunner().invoke(app, [*map(str, words)])
    finally:
        logger.handlers, logger.propagate, _ = before
        logger.setLevel(before[2])
        signal.signal(signal.SIGTERM, handler)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def started(*words: str | Path, cwd: Path = ROOT) -> subprocess.Popen[str]:
    """Start a command."""
    return subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=ENVIRONMENT,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def leftovers(folder: Path) -> list[str]:
    """What a killed process may have left."""
    temporary = re.compile(f"{re.escape(TEMPORARY)}|{re.escape(RETIRED)}")
    found = [str(path.relative_to(folder)) for path in folder.rglob("*") if temporary.match(path.name)]
    return found + [str(path) for path in folder.glob(".work/*")]
