"""A data set in which only what a user met before tells what comes next.

Each user belongs to a club that no feature tells. An item's club is its feature `genre`; rows of the own club are
positive. Several rows of a user share a moment.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from core.dataset import ASIDE, ITEM_INDEX, SPLIT, SPLITS, TARGET, TIME, USER_INDEX, Dataset
from core.files import hash_tree, write_json
from core.schema import OTHER_ROWS, Column, DType, Schema, Tag

USERS, ITEMS, CLUBS, ROWS = 40, 30, 3, 50
FIRST = 3
"""The id of the first item; smaller ones are reserved, and item 0 of the catalogue is unknown."""


def write_met(directory: Path, *, every_row: bool = False, more: tuple[Column, ...] = (), seed: int = 0) -> Dataset:
    """Write the data set: rows in order of time, the last fifth for valid and test.

    Args:
        directory: Where to.
        every_row: Only the positive rows.
        more: Further columns of numbers.
        seed: What it is drawn from.
    """
    log = interactions(np.random.default_rng(seed))
    if every_row:
        log = log.filter(pl.col(TARGET) > 0.5)
    write_log(directory, log)
    dataset = Dataset(directory)
    schema = Schema((*_columns(), *more))
    item = _items()
    for number, split in enumerate(SPLITS):
        part = log.filter(pl.col(SPLIT) == number)
        noise = [pl.Series(column.name, np.arange(part.height) % 7, pl.Float32) for column in more]
        hour = (part[TIME] % 4).cast(pl.Int32).alias("hour")
        wide = part.drop(SPLIT).hstack(item[part[ITEM_INDEX]]).hstack([hour, *noise])
        (directory / split).mkdir()
        half = part.height // 2
        for place, piece in enumerate((wide[:half], wide[half:])):
            piece.write_parquet(directory / split / f"part-{place:05d}.parquet", row_group_size=100)
    item.write_parquet(dataset.features_file("item"))
    pl.DataFrame({"hour": []}).select([]).write_parquet(dataset.features_file("user"))
    schema.write(dataset.schema_file)
    counts = {split: log.filter(pl.col(SPLIT) == number).height for number, split in enumerate(SPLITS)}
    write_json(directory / "manifest.json", {"version": 1, "rows": counts, "hashes": hash_tree(directory)})
    return dataset


def write_log(directory: Path, log: pl.DataFrame) -> None:
    """Write `interactions.parquet` and the ids of both catalogues."""
    dataset = Dataset(directory)
    dataset.entity_file("users").parent.mkdir(parents=True, exist_ok=True)
    for side, count in (("user", USERS), ("item", ITEMS)):
        pl.DataFrame({f"{side}_id": range(count)}).write_parquet(dataset.entity_file(f"{side}s"))
    log.select(USER_INDEX, ITEM_INDEX, SPLIT, TARGET, TIME).write_parquet(dataset.interactions_file)


def interactions(rng: np.random.Generator) -> pl.DataFrame:
    """Every row; a few are set aside between training and validation."""
    count = USERS * ROWS
    user, item = rng.integers(0, USERS, count), rng.integers(0, ITEMS, count)
    time = np.sort(rng.integers(0, count // 8, count))
    split = np.digitize(np.arange(count) / count, [0.75, 0.8, 0.9])
    split = np.where(split == 0, 0, np.where(split == 1, ASIDE, split - 1))
    columns = {
        USER_INDEX: user.astype(np.int32),
        ITEM_INDEX: item.astype(np.int32),
        SPLIT: split.astype(np.int8),
        TARGET: (user % CLUBS == item % CLUBS).astype(np.float32),
        TIME: time.astype(np.int64),
    }
    return pl.DataFrame(columns)


def _items() -> pl.DataFrame:
    number = np.arange(ITEMS, dtype=np.int32)
    ids = np.where(number == 0, FIRST - 1, number + FIRST - 1).astype(np.int32)
    return pl.DataFrame(
        {"item_id": ids, "genre": number % CLUBS + np.int32(FIRST), "weight": number.astype(np.float32) / ITEMS}
    )


def _columns() -> tuple[Column, ...]:
    def ids(name: str, size: int, *tags: Tag) -> Column:
        return Column(name, DType.INT32, frozenset({Tag.CATEGORICAL, *tags}), nullable=False, cardinality=size)

    return (
        Column(TARGET, DType.FLOAT32, frozenset({Tag.TARGET, Tag.BINARY}), nullable=False),
        Column(TIME, DType.INT64, frozenset({Tag.TIME}), nullable=False),
        ids("item_id", ITEMS + FIRST, Tag.ITEM, Tag.ITEM_ID),
        ids("genre", CLUBS + FIRST, Tag.ITEM),
        Column("weight", DType.FLOAT32, frozenset({Tag.ITEM, Tag.CONTINUOUS}), nullable=False),
        ids("hour", 4, Tag.CONTEXT),
    )


def number(name: str, *tags: Tag, other_rows: bool = False) -> Column:
    """A further column of numbers."""
    properties = {OTHER_ROWS: True} if other_rows else {}
    return Column(name, DType.FLOAT32, frozenset({Tag.CONTINUOUS, *tags}), nullable=False, properties=properties)
