"""The planted data set with a second target: what the same truth says more seldom, and not of every row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from core.dataset import TARGET, Dataset, target_column
from core.files import hash_tree, read_json, write_json
from core.schema import Column, DType, Schema, Tag
from tests.train.synthetic import Planted, write_planted

SALE = target_column("sale")
UNKNOWN = 4
"""Every so manieth row doesn't tell the sale."""


def write_two(directory: Path, *, rows: int = 4000, seed: int = 0) -> Planted:
    """Write the data set; its targets are `click` and `sale`."""
    planted = write_planted(directory, rows=rows, seed=seed)
    rng = np.random.default_rng(seed + 1)
    for split, truth in planted.truth.items():
        start = 0
        for file in planted.dataset.files(split):
            part = pl.read_parquet(file)
            own, start = truth[start : start + part.height], start + part.height
            sale = pl.Series(SALE, rng.random(part.height) < 1.0 / (1.0 + np.exp(1.0 - own)), dtype=pl.Float32)
            known = pl.int_range(part.height) % UNKNOWN > 0
            part.with_columns(pl.when(known).then(sale).alias(SALE)).write_parquet(file, row_group_size=500)
    _tell(planted.dataset)
    return planted


def _tell(dataset: Dataset) -> None:
    """Bring schema and manifest up to date."""
    tags = frozenset({Tag.TARGET, Tag.BINARY})
    click = Column(TARGET, DType.FLOAT32, tags, nullable=False, properties={"target": "click"})
    sale = replace(click, name=SALE, nullable=True, properties={"target": "sale"})
    Schema((click, sale, *dataset.schema())).write(dataset.schema_file)
    manifest = read_json(dataset.path / "manifest.json")
    (dataset.path / "manifest.json").unlink()
    write_json(dataset.path / "manifest.json", {**manifest, "hashes": hash_tree(dataset.path)})
