"""A small data set on disk whose right answer is known: a planted factorisation machine.

    logit = STRENGTH * <user vector, item vector> + effect of age + effect of genre + effect of hour

so a model needs products of ids to rank well; a linear model cannot. The layout is that of `core.dataset`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.dataset import ITEM_INDEX, SPLIT, SPLITS, TARGET, TIME, USER_INDEX, Dataset
from core.files import hash_tree, write_json
from core.schema import Column, DType, Schema, Tag

RESERVED = 3
"""Ids before the vocabulary: padding, null, out of vocabulary."""
STRENGTH = 3.0
FACTORS = 4


@dataclass(frozen=True)
class Planted:
    """A data set and the logits that made its targets, by split, in the order of its rows."""

    dataset: Dataset
    truth: dict[str, np.ndarray]


def write_planted(
    directory: Path,
    *,
    rows: int = 6000,
    users: int = 60,
    items: int = 40,
    seed: int = 0,
    row_group_size: int = 500,
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
) -> Planted:
    """Write the data set: splits of two files each, entities, interactions, schema and manifest."""
    rng = np.random.default_rng(seed)
    user_frame, item_frame = _entities(rng, users, items)
    frame = _interactions(rng, rows, user_frame, item_frame, shares)
    dataset, schema = Dataset(directory), planted_schema(users, items)
    counts = {}
    for number, split in enumerate(SPLITS):
        part = frame.filter(pl.col(SPLIT) == number)
        counts[split] = part.height
        _write_split(directory / split, part.select([*schema.names, TARGET, USER_INDEX, ITEM_INDEX]), row_group_size)
    _write_entities(dataset, user_frame, item_frame)
    frame.select(USER_INDEX, ITEM_INDEX, SPLIT, TARGET, TIME).write_parquet(dataset.interactions_file)
    schema.write(dataset.schema_file)
    hashes = hash_tree(directory)
    write_json(directory / "manifest.json", {"version": 1, "rows": counts, "hashes": hashes, "seed": seed})
    truth = {split: frame.filter(pl.col(SPLIT) == number)["truth"].to_numpy() for number, split in enumerate(SPLITS)}
    return Planted(dataset, truth)


def planted_schema(users: int, items: int) -> Schema:
    """Two ids, one category a side and one of the context, one number a side."""

    def ids(name: str, count: int, *tags: Tag) -> Column:
        tagged = frozenset({Tag.CATEGORICAL, *tags})
        return Column(name, DType.INT32, tagged, nullable=False, cardinality=count + RESERVED, embedding_dim=16)

    def number(name: str, *tags: Tag) -> Column:
        return Column(name, DType.FLOAT32, frozenset({Tag.CONTINUOUS, *tags}), nullable=False)

    return Schema(
        (
            ids("user_id", users, Tag.USER, Tag.USER_ID),
            ids("group", 4, Tag.USER),
            number("age", Tag.USER),
            ids("item_id", items, Tag.ITEM, Tag.ITEM_ID),
            ids("genre", 5, Tag.ITEM),
            number("price", Tag.ITEM),
            ids("hour", 6, Tag.CONTEXT),
        )
    )


def _entities(rng: np.random.Generator, users: int, items: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    def side(count: int, name: str, category: str, levels: int, number: str) -> pl.DataFrame:
        return pl.DataFrame(
            {
                name: np.arange(count, dtype=np.int32) + RESERVED,
                category: rng.integers(0, levels, count, dtype=np.int32) + RESERVED,
                number: rng.normal(size=count).astype(np.float32),
                "vector": rng.normal(size=(count, FACTORS)) / FACTORS**0.5,
            }
        )

    return side(users, "user_id", "group", 4, "age"), side(items, "item_id", "genre", 5, "price")


def _interactions(
    rng: np.random.Generator,
    rows: int,
    users: pl.DataFrame,
    items: pl.DataFrame,
    shares: tuple[float, float, float],
) -> pl.DataFrame:
    weight = 1.0 / np.arange(2, items.height + 2)
    user = rng.integers(0, users.height, rows)
    item = rng.choice(items.height, rows, p=weight / weight.sum())
    hour = rng.integers(0, 6, rows, dtype=np.int32)
    product = (users["vector"].to_numpy()[user] * items["vector"].to_numpy()[item]).sum(1)
    genre, age = items["genre"].to_numpy()[item], users["age"].to_numpy()[user]
    truth = STRENGTH * product + 0.5 * age + 0.3 * (genre - RESERVED - 2) + 0.2 * (hour - 2.5)
    target = rng.random(rows) < 1.0 / (1.0 + np.exp(-truth))
    rest = {
        "hour": hour + np.int32(RESERVED),
        "truth": truth,
        TARGET: target.astype(np.float32),
        USER_INDEX: user.astype(np.int32),
        ITEM_INDEX: item.astype(np.int32),
        SPLIT: rng.choice(3, rows, p=shares).astype(np.int8),
        TIME: np.arange(rows, dtype=np.int64),
    }
    return users.drop("vector")[user].hstack(items.drop("vector")[item]).hstack(pl.DataFrame(rest))


def _write_split(directory: Path, part: pl.DataFrame, row_group_size: int) -> None:
    directory.mkdir(parents=True)
    half = part.height // 2
    for number, piece in enumerate((part[:half], part[half:])):
        piece.write_parquet(directory / f"part-{number:05d}.parquet", row_group_size=row_group_size)


def _write_entities(dataset: Dataset, users: pl.DataFrame, items: pl.DataFrame) -> None:
    dataset.entity_file("users").parent.mkdir(parents=True)
    for side, plural, frame, prefix in (("user", "users", users, "u"), ("item", "items", items, "i")):
        frame.drop("vector").write_parquet(dataset.features_file(side))
        raw = pl.DataFrame({f"{side}_id": [f"{prefix}{number:05d}" for number in range(frame.height)]})
        raw.write_parquet(dataset.entity_file(plural))
