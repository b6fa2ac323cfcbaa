"""Users and items as catalogues: every id once, numbered by its rank, with its raw columns and its features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.dataset import ITEM_INDEX, ROW, SPLIT, TARGET, TIME, USER_INDEX, Dataset
from core.schema import Schema
from etl.dataset.raw import Raw
from etl.engines.base import COMPRESSION, ROW_GROUP
from etl.fitted import Fitted
from etl.values.lookup import found

FEATURES = {"users": "user", "items": "item"}


@dataclass(frozen=True)
class Catalogue:
    """All ids of one side.

    Attributes:
        name: `users` or `items`.
        id: The column with the id.
        index: USER_INDEX or ITEM_INDEX.
        rows: One row an id, in order of the id: the row number is the index. Columns: the id, then the table's.
    """

    name: str
    id: str
    index: str
    rows: pl.DataFrame

    def add_index(self, frame: pl.LazyFrame, *, ordered: bool) -> pl.LazyFrame:
        """Add the number of each row's id to a frame."""
        if ordered:
            # A join would have to be made anew for each slice of the rows.
            dtype = pl.Int64 if self.rows.schema[self.id].is_integer() else pl.String
            ids = self.rows[self.id].cast(dtype)
            return frame.with_columns(
                found(pl.col(self.id).cast(dtype), ids, first=0, unknown=-1, null=-1).alias(self.index)
            )
        # Numbered here and not in the plan: a GPU engine has no ranges.
        numbers = self.rows.select(self.id, pl.int_range(pl.len(), dtype=pl.Int32).alias(self.index))
        return frame.join(numbers.lazy(), on=self.id, how="left", maintain_order="none")


def catalogues(raw: Raw) -> dict[str, Catalogue]:
    """The users and the items of the raw data: those of the tables and those of the interactions together.

    Empty unless the data have both roles.
    """
    user, item = raw.roles.user, raw.roles.item
    if user is None or item is None:
        return {}
    return {
        "users": _catalogue(raw, "users", user, USER_INDEX),
        "items": _catalogue(raw, "items", item, ITEM_INDEX),
    }


def _catalogue(raw: Raw, name: str, key: str, index: str) -> Catalogue:
    met = raw.frame.select(pl.col(key).unique()).collect(engine="streaming")
    side = raw.sides.get(name)
    if side is None:
        return Catalogue(name, key, index, met.sort(key))
    table = side.rows.with_columns(pl.col(key).cast(raw.types[key]))
    ids = pl.concat([met, table.select(key)]).unique().sort(key)
    rows = ids.join(table, on=key, how="left", maintain_order="left")
    return Catalogue(name, key, index, rows.select(key, pl.exclude(key)))


def write_catalogue(catalogue: Catalogue, fitted: Fitted, dataset: Dataset) -> Schema:
    """Write the raw rows of a side and the features that are made of them alone, in the same order.

    Returns:
        The features.
    """
    place = dataset.entity_file(catalogue.name)
    place.parent.mkdir(exist_ok=True)
    _write(catalogue.rows.lazy(), place)
    own = set(catalogue.rows.columns)
    # An output that reads anything else belongs to the interaction, whatever its tags say.
    outputs = [name for name in fitted.by_row() if own.issuperset(fitted.inputs_of([name]))]
    features = dataset.features_file(FEATURES[catalogue.name])
    if outputs:
        _write(fitted.transform(catalogue.rows, columns=outputs), features)
    else:
        _write(catalogue.rows.lazy().select([]), features)
    return fitted.schema.keep(outputs)


def write_interactions(frame: pl.LazyFrame, sides: Mapping[str, Catalogue], dataset: Dataset, *, ordered: bool) -> None:
    """Write every interaction as indices, in order of ROW. A step on the CPU, whatever the engine.

    Args:
        frame: Raw rows with ROW, SPLIT, TARGET and TIME.
        sides: Both catalogues.
        dataset: Where to.
        ordered: The frame is in order already.
    """
    for catalogue in sides.values():
        frame = catalogue.add_index(frame, ordered=ordered)
    if not ordered:
        frame = frame.sort(ROW)
    columns = [USER_INDEX, ITEM_INDEX, SPLIT, TARGET, TIME]
    _write(frame.select(columns), dataset.interactions_file)


def _write(frame: pl.LazyFrame, path: Path) -> None:
    frame.sink_parquet(path, compression=COMPRESSION, row_group_size=ROW_GROUP, engine="streaming")
