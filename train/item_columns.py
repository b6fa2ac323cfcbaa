"""Features that are made of the item alone: what it takes to put another item into a row."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from core.dataset import Dataset
from core.errors import UserError
from train.batch import Features
from train.pairs import side_features
from train.read import AGAIN


def item_columns(dataset: Dataset) -> Features:
    """The features of items that are made of the item's own columns, in the order of the schema.

    Not among them are those that need other rows (how often it was bought before) and those of the row itself, whatever
    their tags say. What remains is told by the catalogue and never by a later row.

    Raises:
        UserError: The file of the catalogue can't be read.
    """
    path = dataset.features_file("item")
    try:
        there = set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"the file cannot be read ({error})", where=str(path), cure=AGAIN) from None
    every = side_features(dataset, "item")
    single = [pair for pair in zip(every.categorical, every.cardinalities, strict=True) if pair[0] in there]
    return replace(
        every,
        categorical=tuple(name for name, _ in single),
        cardinalities=tuple(size for _, size in single),
        continuous=tuple(name for name in every.continuous if name in there),
        lists=tuple(one for one in every.lists if one.name in there),
        item_id=every.item_id if every.item_id in there else None,
    )
