"""Users who are held out, through the whole stage: what is folded in is in no part file, and nothing learns from it."""

from __future__ import annotations

import polars as pl
import pytest

from core.dataset import FOLD_IN, ITEM_INDEX, SPLIT, SPLITS, USER_INDEX, Dataset

from .conftest import Desk, log


@pytest.fixture
def dataset(desk: Desk) -> Dataset:
    """Six users with ten rows each: one chooses, two judge, eight rows of each are known."""
    desk.spec["split"] = {"by": "users", "valid": 1, "test": 2, "fold_in": 0.8, "order": "time"}
    desk.spec["features"] = [{"columns": ["user_id", "item_id"], "ops": ["categorify"]}]
    return desk.prepare()


def test_whole_users_are_held_out(dataset: Dataset) -> None:
    rows = pl.read_parquet(dataset.interactions_file)
    counts = {}
    for (user,), own in rows.group_by(USER_INDEX):
        sides = tuple(sorted(own[SPLIT].to_list()))
        counts[sides] = counts.get(sides, 0) + 1
        if FOLD_IN in sides:
            # Time runs backwards in the log: the first rows of the file are the latest, which are to be found.
            assert own[SPLIT].to_list()[2:] == [FOLD_IN] * 8, user
    assert counts == {(0,) * 10: 3, (1, 1, *[FOLD_IN] * 8): 1, (2, 2, *[FOLD_IN] * 8): 2}


def test_what_is_folded_in_is_known_to_interactions_alone(dataset: Dataset) -> None:
    rows, manifest = pl.read_parquet(dataset.interactions_file), dataset.manifest()
    assert rows.height == log().height
    assert manifest["rows"] == {"train": 30, "valid": 2, "test": 4}
    assert (manifest["aside"], manifest["fold_in"]) == (0, 24)
    assert not (dataset.path / "fold_in").exists()
    for number, split in enumerate(SPLITS):
        kept = pl.read_parquet(dataset.files(split)).select(USER_INDEX, ITEM_INDEX)
        assert kept.equals(rows.filter(pl.col(SPLIT) == number).select(USER_INDEX, ITEM_INDEX))


def test_nobody_learns_who_is_held_out(dataset: Dataset) -> None:
    """Their ids are unknown to the vocabulary, as those of newcomers are."""
    rows = pl.read_parquet(dataset.interactions_file)
    away = rows.filter(pl.col(SPLIT) != 0)[USER_INDEX].unique().sort()
    ids = pl.read_parquet(dataset.features_file("user"))["user_id"]
    assert ids.gather(away).n_unique() == 1
    assert dataset.schema()["user_id"].cardinality == 3 + rows.filter(pl.col(SPLIT) == 0)[USER_INDEX].n_unique()
