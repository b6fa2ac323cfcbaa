"""A data set of clubs: every member likes the items of the own club alone, so the right list is known.

Each club has MEMBERS known users, one newcomer without training interactions, and ITEMS items. A member's positives are
spread over the splits; each also dislikes items of other clubs, which popularity must not count. Club 0 has more
members, so its items are the most popular.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from core.dataset import ITEM_INDEX, SPLIT, SPLITS, TARGET, TIME, USER_INDEX, Dataset
from core.files import write_json
from core.schema import Column, DType, Schema, Tag

MEMBERS, ITEMS, CLUBS = 12, 10, 4
UNKNOWN = 2
"""The id of what training never saw; known ids begin after it."""
VALID, TEST = 2, 2


def write_clubs(directory: Path) -> Dataset:
    """Write the data set."""
    dataset, rng = Dataset(directory), np.random.default_rng(0)
    club_U, newcomer_U = users()
    rows = []
    for user, club in enumerate(club_U):
        own = rng.permutation(ITEMS) + ITEMS * club
        splits = [1] * VALID + [2] * TEST + [0] * (ITEMS - VALID - TEST)
        if newcomer_U[user]:
            own, splits = own[:4], [1, 1, 2, 2]
        rows += [(user, int(item), split, 1.0) for item, split in zip(own, splits, strict=True)]
        others = [item for item in range(ITEMS * CLUBS) if item // ITEMS != club]
        if not newcomer_U[user]:
            disliked = rng.choice(others, 8, replace=False)
            rows += [(user, int(item), split, 0.0) for item, split in zip(disliked, [0] * 6 + [1, 2], strict=True)]
    columns = {USER_INDEX: pl.Int32, ITEM_INDEX: pl.Int32, SPLIT: pl.Int8, TARGET: pl.Float32}
    frame = pl.DataFrame(rows, schema=columns, orient="row").with_columns(pl.lit(0, pl.Int64).alias(TIME))
    _write_entities(dataset, club_U, newcomer_U)
    frame.write_parquet(dataset.interactions_file)
    _schema(len(club_U)).write(dataset.schema_file)
    _write_splits(dataset, frame)
    counts = {split: frame.filter(pl.col(SPLIT) == number).height for number, split in enumerate(SPLITS)}
    write_json(directory / "manifest.json", {"version": 1, "rows": counts})
    return dataset


def users() -> tuple[np.ndarray, np.ndarray]:
    """The club of each user and whether the user is a newcomer. Club 0 has twice as many members."""
    sizes = [2 * MEMBERS + 1] + [MEMBERS + 1] * (CLUBS - 1)
    club_U = np.repeat(np.arange(CLUBS), sizes)
    newcomer_U = np.zeros(len(club_U), dtype=bool)
    newcomer_U[np.cumsum(sizes) - 1] = True
    return club_U, newcomer_U


def _write_entities(dataset: Dataset, club_U: np.ndarray, newcomer_U: np.ndarray) -> None:
    dataset.entity_file("users").parent.mkdir(parents=True)
    known = np.arange(len(club_U)) + UNKNOWN + 1
    user = pl.DataFrame(
        {
            "user_id": np.where(newcomer_U, UNKNOWN, known).astype(np.int32),
            "club": (club_U + UNKNOWN + 1).astype(np.int32),
            "age": np.linspace(-1, 1, len(club_U), dtype=np.float32),
        }
    )
    item = pl.DataFrame({"item_id": np.arange(ITEMS * CLUBS, dtype=np.int32) + UNKNOWN + 1})
    user.write_parquet(dataset.features_file("user"))
    item.write_parquet(dataset.features_file("item"))
    pl.DataFrame({"user_id": [f"u{n:03}" for n in range(user.height)]}).write_parquet(dataset.entity_file("users"))
    pl.DataFrame({"item_id": [f"i{n:03}" for n in range(item.height)]}).write_parquet(dataset.entity_file("items"))


def _schema(count: int) -> Schema:
    def ids(name: str, size: int, *tags: Tag) -> Column:
        tagged = frozenset({Tag.CATEGORICAL, *tags})
        return Column(name, DType.INT32, tagged, nullable=False, cardinality=size + UNKNOWN + 1, embedding_dim=8)

    return Schema(
        (
            ids("user_id", count, Tag.USER, Tag.USER_ID),
            ids("club", CLUBS, Tag.USER),
            Column("age", DType.FLOAT32, frozenset({Tag.CONTINUOUS, Tag.USER}), nullable=False),
            ids("item_id", ITEMS * CLUBS, Tag.ITEM, Tag.ITEM_ID),
        )
    )


def _write_splits(dataset: Dataset, frame: pl.DataFrame) -> None:
    """The rows that a ranker reads."""
    user, item = (pl.read_parquet(dataset.features_file(side)) for side in ("user", "item"))
    for number, split in enumerate(SPLITS):
        part = frame.filter(pl.col(SPLIT) == number)
        wide = part.select(TARGET, USER_INDEX, ITEM_INDEX).hstack(user[part[USER_INDEX]]).hstack(item[part[ITEM_INDEX]])
        (dataset.path / split).mkdir()
        wide.write_parquet(dataset.path / split / "part-00000.parquet", row_group_size=100)
