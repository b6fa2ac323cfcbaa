"""kill -9 at any moment, run again: the same metrics to the byte, and nothing left over."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.e2e.run import SMOKE, Outcome, gyrfalcon, leftovers, started

KILLS = int(os.environ.get("GYRFALCON_KILLS", "2"))
"""Random moments to try: a few by default, 20 for a release (`GYRFALCON_KILLS=20`)."""


def kill_and_finish(runs: Path, moments: list[float]) -> None:
    """Kill a run after each of these times in seconds, then let it finish."""
    for moment in moments:
        with started("run", SMOKE, "--runs-dir", runs) as process:
            time.sleep(moment)
            process.kill()
            process.communicate()
    outcome = gyrfalcon("run", SMOKE, "--runs-dir", runs)
    assert outcome.code == 0, outcome.err


def same_as(first_run: tuple[Path, Outcome], runs: Path) -> None:
    """Compare with an undisturbed run."""
    assert (runs / "smoke/metrics.json").read_bytes() == (first_run[0] / "smoke/metrics.json").read_bytes()
    assert leftovers(runs / "smoke") == []


def test_a_run_killed_three_times_ends_the_same(first_run: tuple[Path, Outcome], tmp_path: Path) -> None:
    kill_and_finish(tmp_path, [3.0, 5.0, 4.0])
    same_as(first_run, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(KILLS))
def test_a_run_killed_at_a_random_moment_ends_the_same(
    first_run: tuple[Path, Outcome], tmp_path: Path, seed: int
) -> None:
    kill_and_finish(tmp_path, [random.Random(seed).uniform(0.3, 12.0)])
    same_as(first_run, tmp_path)
