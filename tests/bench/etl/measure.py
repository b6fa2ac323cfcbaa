"""Runs a side in a process of its own, watches its memory, and can put a limit on it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CGROUPS = Path("/sys/fs/cgroup")
MIB = 1 << 20


@dataclass(frozen=True)
class Run:
    """What one process took.

    Attributes:
        wall: Seconds of the work, without imports.
        cpu: Processor seconds of the same.
        fit: Seconds of the fit alone.
        resident: Peak of the resident memory, MiB; pages of files that are mapped are part of it.
        own: Peak of the part that belongs to no file, MiB.
        said: Whatever else the process printed.
    """

    wall: float
    cpu: float
    fit: float
    resident: float
    own: float
    said: dict[str, Any] = field(default_factory=dict)


def run(command: Sequence[str], *, limit: int | None = None) -> Run:
    """Run a command that prints one line of JSON.

    Args:
        command: The command.
        limit: Bytes of memory that it may use; None: no limit.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    with tempfile.TemporaryFile("w+") as out, limited(limit) as (prefix, kind):
        process = subprocess.Popen([*prefix, *map(str, command)], stdout=out)
        resident = own = 0.0
        while process.poll() is None:
            now, anonymous = _memory(process.pid)
            resident, own = max(resident, now), max(own, anonymous)
            time.sleep(0.01)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        out.seek(0)
        said = json.loads(out.read().strip().splitlines()[-1])
    said["limit"] = kind
    return Run(said.pop("wall", 0), said.pop("cpu", 0), said.pop("fit", 0), resident, own, said)


@contextlib.contextmanager
def limited(limit: int | None) -> Iterator[tuple[list[str], str]]:
    """What to write before a command so that it runs under a limit, and the kind of limit."""
    group = CGROUPS / "memory" / f"gyrfalcon-bench-{os.getpid()}"
    if limit is None:
        yield [], "none"
    elif _made(group):
        try:
            (group / "memory.limit_in_bytes").write_text(str(limit))
            yield ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs")], "memory cgroup"
        finally:
            group.rmdir()
    else:
        yield ["prlimit", f"--data={limit}"], "RLIMIT_DATA"


def _made(group: Path) -> bool:
    try:
        group.mkdir()
    except OSError:
        return False
    return True


def _memory(pid: int) -> tuple[float, float]:
    """Resident and anonymous MiB of a process and its children, as far as they live."""
    total = own = 0
    for each in [pid, *_children(pid)]:
        with contextlib.suppress(OSError, KeyError, ValueError):
            lines = Path(f"/proc/{each}/status").read_text().splitlines()
            held = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
            own += int(held["RssAnon"])
            total += sum(map(int, held.values()))
    return total / 1024, own / 1024


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
