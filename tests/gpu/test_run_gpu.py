"""A whole run on a GPU: the same stages, metrics near those of the CPU, and a bundle that verifies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.gpu
ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 0.02
"""On test AUC and recall of the smoke data (a few hundred test rows): another order of sums, another path."""


def gyrfalcon(*arguments: str, cache: Path) -> str:
    """Run the command line on the working tree and give what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    environment["GYRFALCON_CACHE"] = str(cache)
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for device in ("cpu", "cuda"):
        gyrfalcon(
            "run",
            str(ROOT / "configs" / "smoke.yaml"),
            "--device",
            device,
            "--runs-dir",
            str(folder / device),
            cache=folder / "cache",
        )
    return folder


def metrics(runs: Path, device: str) -> dict:
    return json.loads((runs / device / "smoke" / "metrics.json").read_text())


def test_metrics_are_near_those_of_the_cpu(runs: Path) -> None:
    cpu, cuda = metrics(runs, "cpu"), metrics(runs, "cuda")
    assert cuda["ranker"]["test"]["auc"] == pytest.approx(cpu["ranker"]["test"]["auc"], abs=TOLERANCE)
    assert cuda["retriever"]["test"]["recall@50"] == pytest.approx(cpu["retriever"]["test"]["recall@50"], abs=TOLERANCE)
    assert cuda["retriever"]["baselines"] == cpu["retriever"]["baselines"]


def test_a_bundle_that_was_trained_on_the_gpu_verifies(runs: Path) -> None:
    gyrfalcon("verify", str(runs / "cuda" / "smoke" / "bundle"), cache=runs / "cache")
    told = gyrfalcon("recommend", str(runs / "cuda" / "smoke" / "bundle"), "--user", "1", cache=runs / "cache")
    assert told.strip()


def test_the_run_says_that_it_used_the_gpu(runs: Path) -> None:
    manifest = (runs / "cuda" / "smoke" / "manifest.json").read_text()
    assert '"cuda' in manifest
