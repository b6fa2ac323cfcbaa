"""Accuracy of the shipped configs over three seeds, each beside its baseline, on the test split.

    make bench ARGS="-k quality"

Runs whole configs through the command line, so each figure is what a user gets. Needs the network once, for the data.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]
ROOT = Path(__file__).resolve().parents[2]
SEEDS = (1, 2, 3)
Figure = tuple[str, str, str]
"""Group (`ranker`, `retriever`), baseline, metric."""


def metrics(config: str, folder: Path, seed: int, overrides: Sequence[str]) -> dict:
    """Run a config up to its evaluation."""
    settings = [argument for text in (f"seed={seed}", *overrides) for argument in ("--set", text)]
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "run",
        str(ROOT / "configs" / config),
        "--until",
        "evaluate",
        "--device",
        "cpu",
        "--runs-dir",
        str(folder),
        *settings,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*/metrics.json")
    return json.loads(found.read_text())


def compare(name: str, config: str, figures: Sequence[Figure], folder: Path, overrides: Sequence[str] = ()) -> None:
    """Print mean and deviation of each figure for the model and its baseline, and of their difference."""
    runs = [metrics(config, folder / str(seed), seed, overrides) for seed in SEEDS]
    print(f"\n{name}, test split, seeds {', '.join(map(str, SEEDS))}")
    for group, baseline, metric in figures:
        ours = [run[group]["test"][metric] for run in runs]
        theirs = [run[group]["baselines"][baseline]["test"][metric] for run in runs]
        apart = [one - other for one, other in zip(ours, theirs, strict=True)]
        model = runs[0][group]["model"]
        print(
            f"  {metric:10} {model} {mean(ours):.4f} +- {stdev(ours):.4f}   {baseline} {mean(theirs):.4f} +- "
            f"{stdev(theirs):.4f}   difference {mean(apart):+.4f} +- {stdev(apart):.4f}"
        )


MOVIELENS: tuple[Figure, ...] = (
    ("ranker", "logistic", "auc"),
    ("ranker", "logistic", "gauc"),
    ("ranker", "logistic", "logloss"),
    ("retriever", "popularity", "recall@10"),
    ("retriever", "popularity", "recall@50"),
    ("retriever", "popularity", "ndcg@10"),
)


def test_quality_movielens_user_time(tmp_path: Path) -> None:
    compare("ml-100k, last tenth of each user", "quickstart.yaml", MOVIELENS, tmp_path)


def test_quality_movielens_time(tmp_path: Path) -> None:
    split = ["etl.split={by: time, valid: 0.1, test: 0.1}"]
    compare("ml-100k, global time split", "quickstart.yaml", MOVIELENS, tmp_path, split)


def test_quality_adult(tmp_path: Path) -> None:
    figures = [("ranker", "logistic", "auc"), ("ranker", "logistic", "logloss")]
    compare("adult", "adult_wide_deep.yaml", figures, tmp_path)
