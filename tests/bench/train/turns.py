"""Commands in turn, each in a process of its own; what each said is kept, so that a run that was cut goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Turn:
    """One command that prints a line of JSON at its end.

    Attributes:
        key: What it is, and the name under which its result is kept.
        command: The command.
        env: Further environment variables.
        timeout: Seconds after which it is stopped.
    """

    key: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 900.0


def ours(key: str, module: str, *arguments: object, timeout: float = 900.0) -> Turn:
    """A module of this repository in this environment."""
    return Turn(key, [sys.executable, "-m", f"tests.bench.train.{module}", *map(str, arguments)], timeout=timeout)


class Results:
    """What the commands said, a line of JSON each in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.found: dict[str, dict[str, Any]] = {}
        lines = file.read_text().splitlines() if file.exists() else []
        for line in lines:
            with suppress(json.JSONDecodeError):  # the last line of a run that was cut
                said = json.loads(line)
                self.found[said["key"]] = said

    def take(self, turns: Iterable[Turn], **more: str) -> None:
        """Run those that have no result yet, and keep `more` beside it; one that fails is told and left out."""
        for turn in turns:
            if turn.key in self.found:
                print(f"{turn.key}: kept from before", flush=True)
                continue
            said = run(turn, self._file.parent / "logs")
            if said is not None:
                self.add(turn.key, {**said, **more})

    def add(self, key: str, said: Mapping[str, Any]) -> None:
        """Keep a result at once."""
        self.found[key] = {"key": key, **said}
        with self._file.open("a") as file:
            file.write(json.dumps(self.found[key]) + "\n")
            file.flush()
            os.fsync(file.fileno())


def run(turn: Turn, logs: Path) -> dict[str, Any] | None:
    """Run a command and give its last line; None: it failed, and `logs` tells why."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{turn.key.replace('/', '_').replace(' ', '_')}.log"
    print(f"{time.strftime('%H:%M:%S')} {turn.key} ...", flush=True)
    started, load = time.monotonic(), os.getloadavg()[0]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **turn.env}
    with log.open("w") as err:
        # A session of its own, so that its helpers end with it.
        process = subprocess.Popen(
            turn.command, stdout=subprocess.PIPE, stderr=err, env=env, cwd=ROOT, text=True, start_new_session=True
        )
        try:
            out, _ = process.communicate(timeout=turn.timeout)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
            _stop(process)
            if isinstance(error, KeyboardInterrupt):
                raise
            print(f"  stopped after {turn.timeout:.0f} s; see {log}", flush=True)
            return None
    took = time.monotonic() - started
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        print(f"  FAILED (exit {process.returncode}, {took:.0f} s); see {log}", flush=True)
        return None
    print(f"  {took:.0f} s", flush=True)
    found: dict[str, Any] = json.loads(lines[-1])
    return {**found, "load_before": load, "wall_s": took, "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime())}


def _stop(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()  # what it said is read, so that nothing stays open
