"""The smoke data hold the answers that were planted."""

import numpy as np
import polars as pl
import pytest

from pipeline.smoke_data import tables, write


@pytest.fixture(scope="module")
def drawn():
    return tables(seed=1)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, seed=3)
    for table in ("interactions", "users", "items"):
        file = f"{table}.parquet"
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_ids_are_known_and_pairs_occur_once(drawn):
    rows = drawn["interactions"]
    assert rows.select(pl.struct("user_id", "item_id").is_unique().all()).item()
    assert set(rows["user_id"]) == set(drawn["users"]["user_id"])
    assert set(rows["item_id"]) <= set(drawn["items"]["item_id"])
    assert rows["timestamp"].is_sorted()


def test_taste_lies_in_the_pair_and_not_in_the_columns(drawn):
    rows = drawn["interactions"].join(drawn["items"], on="item_id").with_columns(liked=pl.col("rating") >= 4)
    by_genre = rows.group_by("genre").agg(pl.col("liked").mean())["liked"]
    assert by_genre.std() < 0.08
    best = rows.group_by("user_id", "genre").len().sort("len").group_by("user_id").last()
    near = rows.join(best.select("user_id", "genre"), on=["user_id", "genre"], how="semi")["liked"].mean()
    far = rows.join(best.select("user_id", "genre"), on=["user_id", "genre"], how="anti")["liked"].mean()
    assert near - far > 0.5


def test_titles_are_distinct_and_awkward(drawn):
    titles = drawn["items"]["title"]
    assert titles.is_unique().all()
    assert titles.str.contains("<", literal=True).any()
    assert titles.str.contains("é").any()
    assert drawn["users"]["age"].null_count() > 0
    assert 0.4 < float(np.mean(drawn["interactions"]["rating"].to_numpy() >= 4)) < 0.75
