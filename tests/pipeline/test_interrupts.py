"""Interrupts of a command while Polars works: told once, and what is cleaned up is cleaned up to its end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = """
import sys, time
import typer
from pathlib import Path
from pipeline.commands.guard import guarded

@guarded
def command(left: Path) -> None:
    import polars as pl

    frame = pl.select(a=pl.int_range(0, 200_000)).lazy().group_by((pl.col("a") % 1000).alias("b")).len()
    left.write_text("half written")
    try:
        print("ready", flush=True)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            frame.collect(engine="streaming")
    finally:
        # As long as a second of somebody who is impatient.
        for _ in range(10):
            time.sleep(0.05)
        left.unlink()

typer.run(command)
"""


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT, signal.SIGTERM]])
def test_what_was_begun_is_cleaned_up(numbers: list[signal.Signals], tmp_path: Path) -> None:
    left = tmp_path / "left"
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, left], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            for number in numbers:
                time.sleep(0.2)
                process.send_signal(number)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert err == "interrupted\n"
    assert not left.exists()
