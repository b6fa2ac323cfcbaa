"""What runs must have in common: features may differ, interactions and splits may not."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from core.dataset import TARGET, Dataset
from train.evaluation.identity import identity


@pytest.fixture
def data(clubs: Dataset, tmp_path: Path) -> Dataset:
    """A copy of the clubs, to be changed."""
    return Dataset(Path(shutil.copytree(clubs.path, tmp_path / "data")))


def test_features_do_not_count(clubs: Dataset, data: Dataset) -> None:
    for file in data.files("test"):
        pl.read_parquet(file).drop("age").write_parquet(file)
    assert identity(data) == identity(clubs)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_without_users_the_targets_count(clubs: Dataset, data: Dataset, split: str) -> None:
    data.interactions_file.unlink()
    before = identity(data)
    assert before["data"] == before["splits"] != identity(clubs)["data"]
    (file,) = data.files(split)
    frame = pl.read_parquet(file)
    frame.with_columns(pl.lit(2.0, pl.Float32).alias("more")).write_parquet(file)
    assert identity(data) == before
    frame.with_columns(pl.lit(1.0, pl.Float32).alias(TARGET)).write_parquet(file)
    assert identity(data) != before
