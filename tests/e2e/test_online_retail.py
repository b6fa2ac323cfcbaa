"""The config for Online Retail on the real file: see `GYRFALCON_REAL_DATA`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

FOLDER = os.environ.get("GYRFALCON_REAL_DATA", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="GYRFALCON_REAL_DATA names no folder of real data"),
]
ROOT = Path(__file__).parents[2]
DROPPED = [("dropna", 135_080), ("filter", 8_945), ("filter", 1_547), ("repeats", 27_991), ("baskets", 0)]
FORTNIGHT = 14 * 86_400_000_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = Path(FOLDER) / "online-retail" / "transactions.parquet"
    if not source.exists():
        pytest.skip(f"GYRFALCON_REAL_DATA holds no {source.name}")
    runs = tmp_path_factory.mktemp("runs")
    words = ["run", str(ROOT / "configs" / "online_retail.yaml"), "--runs-dir", str(runs), "--device", "cpu"]
    words += ["--set", f"data.interactions.path={source}"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return runs / "online_retail"


def test_each_rule_tells_what_it_dropped(run: Path) -> None:
    manifest = json.loads((run / "etl" / "manifest.json").read_text())
    assert [(one["rule"], one["before"] - one["after"]) for one in manifest["dropped"]] == DROPPED
    assert sum(manifest["rows"].values()) + manifest["aside"] == manifest["dropped"][-1]["after"]
    assert not manifest["warnings"]


def test_no_label_knows_of_what_happened_behind_a_cut(run: Path) -> None:
    rows = pl.read_parquet(run / "etl" / "interactions.parquet")
    sides = rows.group_by("__split__").agg(first=pl.col("__time__").min(), last=pl.col("__time__").max())
    train, valid, test = sides.sort("__split__").head(3).iter_rows(named=True)
    assert train["last"] + FORTNIGHT < valid["first"]
    assert valid["last"] + FORTNIGHT < test["first"]


def test_a_line_bought_again_is_a_positive(run: Path) -> None:
    """The label, worked out once more from the log of what is left: an earlier line knows of the next one."""
    rows = pl.read_parquet(run / "etl" / "interactions.parquet")
    pair = ["__user__", "__item__"]
    moments = rows.select(*pair, "__time__").unique().sort(*pair, "__time__")
    following = moments.with_columns((pl.col("__time__").shift(-1).over(pair) - pl.col("__time__")).alias("wait"))
    soon = rows.join(following.filter(pl.col("wait") <= FORTNIGHT), on=[*pair, "__time__"], how="semi")
    assert soon.height > 10_000
    assert (soon["__target__"] == 1).all()


def test_the_ranker_tells_more_than_a_constant(run: Path) -> None:
    ranker = json.loads((run / "metrics.json").read_text())["ranker"]
    assert ranker["test"]["auc"] > 0.8
    assert ranker["test"]["logloss"] < ranker["baselines"]["constant"]["test"]["logloss"]
    assert (run / "bundle" / "manifest.json").exists()
