"""Genres of real films, as lists and as columns: see `GYRFALCON_REAL_DATA`."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from etl.fitted import Fitted
from tests.contract.serving import Served, assert_same
from tests.etl.conftest import Desk

FOLDER = os.environ.get("GYRFALCON_REAL_DATA", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="GYRFALCON_REAL_DATA names no folder of real data")


@pytest.fixture
def films(tmp_path: Path) -> tuple[Desk, pl.DataFrame]:
    """Ratings of MovieLens-latest-small with the genres of the films."""
    base = Path(FOLDER) / "ml-latest-small"
    if not base.is_dir():
        pytest.skip(f"GYRFALCON_REAL_DATA holds no {base.name}")
    desk = Desk(tmp_path)
    tables = {name: {"path": str(base / f"{name}.parquet")} for name in ("interactions", "items")}
    desk.sources = {**tables, "roles": {"user": "user_id", "item": "item_id", "time": "timestamp"}}
    desk.spec = {
        "engine": "cpu",
        "target": {"column": "rating", "at_least": 4},
        "split": {"by": "user_time", "valid": 0.1, "test": 0.1},
        "features": [
            {"columns": ["user_id", "item_id"], "ops": ["categorify"]},
            {"columns": ["genres"], "ops": ["categorify", "value_count"]},
            {"columns": ["genres"], "ops": ["categorify", {"list_columns": {"count": 3}}]},
        ],
    }
    return desk, pl.read_parquet(base / "items.parquet")


def test_genres_of_films(films: tuple[Desk, pl.DataFrame]):
    desk, items = films
    dataset = desk.prepare()
    features = pl.read_parquet(dataset.features_file("item"))
    entities = pl.read_parquet(dataset.entity_file("items"))
    genres = entities["genres"].to_list()
    assert features["genres"].list.len().to_list() == [len(one) for one in genres]
    # One id a genre, and one genre an id.
    pairs = Counter(
        (genre, found)
        for one, ids in zip(genres, features["genres"].to_list(), strict=True)
        for genre, found in zip(one, ids, strict=True)
    )
    assert len(pairs) == items["genres"].explode(empty_as_null=False).n_unique()
    longest = dataset.schema()["genres"].properties["value_count"]["max"]
    assert longest <= max(map(len, genres))
    assert (features["genres_0"] > 0).all()
    assert ((features["genres_2"] == 0) == (features["genres"].list.len() < 3)).all()


def test_served_as_transformed(films: tuple[Desk, pl.DataFrame]):
    desk, items = films
    fitted = Fitted.load(desk.prepare().workflow_dir)
    rows = items.head(2000).with_columns(user_id=pl.lit(1, pl.Int64))
    rows = rows.select(fitted.input_schema.names)
    assert_same(fitted, Served(fitted), rows)
