"""What users met before, all the way: from raw rows with dates to a verified bundle."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from core.dataset import SPLITS, Dataset
from tests.e2e.run import in_process
from train.ranker import load_ranker
from train.ranker_batches import RankerRows

CONFIG = """\
name: met
data: {interactions: {path: met.parquet}, items: {path: items.parquet}, roles: {user: who, item: what, time: at}}
etl:
  engine: cpu
  rows: [{filter: "grade > 0"}]
  target: {column: grade, at_least: 4}
  split: {by: time, valid: 0.2, test: 0.2}
  features:
    - {columns: [what, kind], ops: [categorify]}
    - {columns: [at], ops: [{time_features: {parts: [hour]}}]}
train:
  ranker:
    model: {kind: din, embedding_dim: 4, attention: [4], hidden: [8]}
    history: {longest: 3}
    epochs: 1
    batch_size: 64
export: {golden_rows: 50}
"""


def raw() -> pl.DataFrame:
    """Rows in no order, several of a user at one moment, some that a rule drops."""
    rng, rows = np.random.default_rng(0), 400
    item = rng.integers(0, 20, rows)
    return pl.DataFrame(
        {
            "who": [f"u{one}" for one in rng.integers(0, 12, rows)],
            "what": [f"i{one:02}" for one in item],
            "kind": [f"k{one % 4}" for one in item],
            "grade": rng.integers(0, 6, rows),
            "at": rng.integers(0, 150, rows),
        }
    ).with_columns((pl.datetime(2024, 5, 1) + pl.duration(hours="at")).alias("at"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("met")
    items = raw().select("what", "kind").unique().sort("what")
    items.write_parquet(folder / "items.parquet")
    config = folder / "met.yaml"
    raw().drop("kind").write_parquet(folder / "met.parquet")
    config.write_text(CONFIG)
    outcome = in_process("run", config, "--runs-dir", folder / "runs")
    assert outcome.code == 0, outcome.err
    return folder / "runs" / "met"


def test_histories_are_those_of_the_raw_rows(run: Path) -> None:
    """Ids of the lists stand for the very items that a loop over the raw rows finds."""
    dataset, ranker = Dataset(run / "etl"), load_ranker(run / "train" / "ranker")
    log = raw().filter(pl.col("grade") > 0).with_row_index("place").sort("at", "place")
    liked = log.filter(pl.col("grade") >= 4)
    features = pl.read_parquet(dataset.features_file("item"))
    names = pl.read_parquet(dataset.entity_file("items"))["what"].to_list()
    known = dict(zip(names, features.select("what", "kind").iter_rows(), strict=True))
    seen, row_of = 0, pl.read_parquet(dataset.entity_file("users"))["who"].to_list()
    for split in SPLITS:
        rows = pl.concat([pl.read_parquet(file) for file in dataset.files(split)])
        source = RankerRows(dataset, ranker.features, ranker.spec, torch.device("cpu"))
        lists = next(source.in_order(split, 1000).epoch(0)).lists
        spans = list(pairwise(lists["history.what"].offsets_B1.tolist()))
        for (start, stop), user, time in zip(spans, rows["__user__"], rows["__time__"], strict=True):
            earlier = (pl.col("who") == row_of[user]) & (pl.col("at").dt.epoch("us") < time)
            met = liked.filter(earlier)["what"].to_list()[-3:]
            found = [lists[f"history.{name}"].values_J[start:stop].tolist() for name in ("what", "kind")]
            assert list(zip(*found, strict=True)) == [known[one] for one in met]
            seen += len(met)
    assert seen > 200


def test_the_bundle_is_verified(run: Path) -> None:
    outcome = in_process("verify", run / "bundle")
    assert outcome.code == 0, outcome.err


def test_the_report_and_the_metrics_say_what_was_known(run: Path) -> None:
    told = json.loads((run / "metrics.json").read_text())["protocol"]["ranker"]
    assert any("strictly before the row's moment" in line for line in told)
