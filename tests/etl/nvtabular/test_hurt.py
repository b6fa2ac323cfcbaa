"""The command with the real NVTabular, hurt in the middle of its fit: one line, the right code, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from etl.nvtabular.process import PREFIX
from tests.etl.nvtabular.peer import installed

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.nvtabular, installed]


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the processes of a process are read from /proc")
@pytest.mark.parametrize(
    ("whom", "number", "waits", "code", "told"),
    [
        ("all", signal.SIGINT, 0, 130, "interrupted in stage etl"),
        ("all", signal.SIGINT, 0.2, 130, "interrupted in stage etl"),
        ("the command", signal.SIGTERM, 0.2, 130, "interrupted in stage etl"),
        ("NVTabular", signal.SIGKILL, 0, 2, "the process of NVTabular ended in its fit with code -9"),
    ],
)
def test_hurt_in_the_fit(whom: str, number: signal.Signals, waits: float, code: int, told: str, tmp_path: Path) -> None:
    scratch, runs = tmp_path / "scratch", tmp_path / "runs"
    scratch.mkdir()
    words = [sys.executable, "-m", "pipeline.cli", "etl", "configs/smoke.yaml", "--engine", "nvtabular"]
    with subprocess.Popen(
        [*words, "--runs-dir", runs],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C reaches every process of the terminal, the worker among them.
        start_new_session=True,
    ) as started:
        try:
            until(lambda: list(scratch.glob(f"{PREFIX}*/*/fit.parquet")) or started.poll() is not None)
            # Asked by now, and waited for.
            time.sleep(waits)
            (worker,) = children(started.pid)
            # Stopped, it can't be done before it is hurt.
            os.kill(worker, signal.SIGSTOP)
            if whom == "all":
                os.killpg(started.pid, number)
            else:
                os.kill(worker if whom == "NVTabular" else started.pid, number)
            _, said = started.communicate(timeout=60)
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
    lines = [line for line in said.splitlines() if " INFO " not in line]
    assert started.returncode == code, said
    assert len(lines) == 1
    assert told in lines[0]
    until(lambda: not Path(f"/proc/{worker}").exists())
    assert list(scratch.iterdir()) == []
    assert not (runs / "smoke" / "etl").exists()
    assert list(runs.rglob("*.parquet")) == []
