"""What the users of a bundle met up to the end of the data, as the models were told of it in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.dataset import ITEM_INDEX, TARGET, TIME, USER_INDEX, Dataset
from core.schema import Tag
from serve.bundle import HISTORY_COLUMN, RANKER_HISTORY_COLUMN
from serve.met import history_of
from serve.parts import Parts
from train.models.retrieve.base import Reads


@dataclass(frozen=True)
class Kept:
    """Which of the items that a user met are stored.

    Attributes:
        positives_only: Those whose row was positive.
        longest: So many of the newest; None: all.
    """

    positives_only: bool = True
    longest: int | None = None


def kept_of(parts: Parts) -> dict[str, Kept]:
    """The histories that the models of a bundle read, by column of the users: one, if all are told the same."""
    found = {}
    if parts.retriever and Reads.HISTORY in parts.retriever.reads:
        found[HISTORY_COLUMN] = Kept()
    spec = history_of(parts.ranker) if parts.ranker else None
    if spec is not None and (not found or not spec.positives_only):
        column = RANKER_HISTORY_COLUMN if found else HISTORY_COLUMN
        found[column] = Kept(positives_only=spec.positives_only, longest=spec.longest)
    return found


def ranker_column(kept: Mapping[str, Kept]) -> str:
    """The column that the ranker's history is stored in."""
    return RANKER_HISTORY_COLUMN if RANKER_HISTORY_COLUMN in kept else HISTORY_COLUMN


def with_histories(users: pl.DataFrame, dataset: Dataset, kept: Mapping[str, Kept]) -> pl.DataFrame:
    """Every user in the order of rows, with columns of raw ids of items: what the user met, oldest first.

    As `train.histories.Histories` sorts it: by time, and rows of one moment as they lie in the file.
    """
    numbered = users.lazy().with_row_index(USER_INDEX).with_columns(pl.col(USER_INDEX).cast(pl.Int32))
    for column, one in kept.items():
        met = _histories(dataset, one, column)
        numbered = numbered.join(met, on=USER_INDEX, how="left", maintain_order="left")
    return numbered.drop(USER_INDEX).with_columns(pl.col(column).fill_null([]) for column in kept).collect()


def with_met(raw: pl.DataFrame, dataset: Dataset, users: Path) -> pl.DataFrame:
    """Raw rows, each with the column `history` of its user, out of the users of a bundle."""
    column = dataset.raw_schema().first(Tag.USER_ID)
    assert column is not None, "a data set with histories names its users"
    met = pl.read_parquet(users, columns=[column.name, HISTORY_COLUMN])
    met = met.with_columns(pl.col(column.name).cast(raw.schema[column.name]))
    return raw.join(met, on=column.name, how="left", maintain_order="left")


def _histories(dataset: Dataset, kept: Kept, name: str) -> pl.LazyFrame:
    item = dataset.raw_schema().first(Tag.ITEM_ID)
    assert item is not None, "a data set with histories names its items"
    ids = pl.scan_parquet(dataset.entity_file("items")).select(pl.col(item.name).alias(name))
    ids = ids.with_row_index(ITEM_INDEX).with_columns(pl.col(ITEM_INDEX).cast(pl.Int32))
    every = pl.scan_parquet(dataset.interactions_file).with_row_index("place")
    chosen = every.filter(pl.col(TARGET) > 0.5) if kept.positives_only else every
    by_time = chosen.join(ids, on=ITEM_INDEX, how="left").sort(USER_INDEX, pl.col(TIME).fill_null(0), "place")
    newest = pl.col(name) if kept.longest is None else pl.col(name).tail(kept.longest)
    return by_time.group_by(USER_INDEX, maintain_order=True).agg(newest)
