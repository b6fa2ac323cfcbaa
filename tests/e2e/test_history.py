"""Features over earlier events go all the way: fitted, trained on, exported, verified, recommended with."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from serve.bundle import Bundle
from serve.recommend import Recommender
from tests.e2e.run import in_process

CONFIG = Path(__file__).with_name("history.yaml")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("history")
    outcome = in_process("run", CONFIG, "--runs-dir", runs)
    assert outcome.code == 0, outcome.err
    return runs / "history"


def test_the_bundle_is_verified(run: Path) -> None:
    outcome = in_process("verify", run / "bundle")
    assert outcome.code == 0, outcome.err
    assert "verified" in outcome.out


def test_the_bundle_says_what_callers_give(run: Path) -> None:
    given = json.loads((run / "bundle" / "manifest.json").read_text())["given"]
    assert "user_id_history_rate" in given
    inputs = Bundle.open(run / "bundle").signatures["ranker"].names
    assert set(given) <= set(inputs)
    assert not [name for name in inputs if name.startswith("__")]


def test_history_of_users_and_items_is_known_and_can_be_replaced(run: Path) -> None:
    bundle = Bundle.open(run / "bundle")
    recommender = Recommender(bundle)
    user = bundle.table("users.parquet")["user_id"][0]
    known = recommender.recommend(user, k=5)
    fresh = recommender.recommend(user, {"user_id_history_rate": 0.01, "genre_lag_1": "Comedy", "timestamp": 0}, k=5)
    assert [item.score for item in known.items] != [item.score for item in fresh.items]
    values = bundle.table("users.parquet").row(0, named=True)
    own = {name: values[name] for name in bundle.manifest["given"] if name in values}
    assert own["user_id_history_count"] > 0
    told, untold = (recommender.recommend(user, given, k=5) for given in (own, dict.fromkeys(own)))
    assert [item.score for item in told.items] == [item.score for item in known.items]
    assert [item.score for item in untold.items] != [item.score for item in known.items]
    assert all("history" not in name for item in known.items for name in item.columns)


def test_no_label_of_a_row_changes_its_own_features(run: Path) -> None:
    """The rate of a user's first event is the prior, whatever its label."""
    rows = pl.read_parquet(run / "etl" / "train" / "*.parquet")
    first = rows.filter(pl.col("user_id_history_count") == rows["user_id_history_count"].min())
    assert first["__target__"].n_unique() == 2
    assert first["user_id_history_rate"].n_unique() == 1
