"""What every candidate generator that is counted, not trained, must hold beside `RetrieverContract`."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

from core.dataset import SPLIT, TARGET, Dataset
from tests.contract.retrievers import RetrieverContract
from train.models.retrieve.base import CountedModel
from train.models.retrieve.popularity import PopularitySpec


class CountedContract(RetrieverContract, model=PopularitySpec()):
    """Inherited by one test class a model, as `RetrieverContract`."""

    __test__ = False

    def __init_subclass__(cls, *, model: CountedModel) -> None:
        super().__init_subclass__(model=model)
        cls.__test__ = True

    def weights(self, dataset: Dataset, frame: pl.DataFrame, where: Path) -> bytes:
        """What is stored when these are the interactions of the data set."""
        copy = Dataset(Path(shutil.copytree(dataset.path, where / "data")))
        frame.write_parquet(copy.interactions_file)
        self.train(copy, where / "out")
        return (where / "out" / "model.safetensors").read_bytes()

    def test_the_order_of_the_rows_is_no_matter(self, clubs: Dataset, tmp_path: Path) -> None:
        frame = pl.read_parquet(clubs.interactions_file)
        shuffled = frame.sample(fraction=1.0, shuffle=True, seed=1)
        assert not shuffled.equals(frame)
        assert self.weights(clubs, shuffled, tmp_path / "b") == self.weights(clubs, frame, tmp_path / "a")

    def test_other_splits_are_not_read(self, clubs: Dataset, tmp_path: Path) -> None:
        frame = pl.read_parquet(clubs.interactions_file)
        poisoned = frame.with_columns(
            pl.when(pl.col(SPLIT) == 0).then(pl.col(TARGET)).otherwise(1.0 - pl.col(TARGET)).cast(pl.Float32)
        )
        assert not poisoned.equals(frame)
        assert self.weights(clubs, poisoned, tmp_path / "b") == self.weights(clubs, frame, tmp_path / "a")

    def test_other_training_rows_are_another_model(self, clubs: Dataset, tmp_path: Path) -> None:
        frame = pl.read_parquet(clubs.interactions_file)
        fewer = frame.filter((pl.col(SPLIT) != 0) | (pl.int_range(pl.len()) % 5 > 0))
        assert fewer.height < frame.height
        assert self.weights(clubs, fewer, tmp_path / "b") != self.weights(clubs, frame, tmp_path / "a")
