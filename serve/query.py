"""What a query says of somebody beside features: who it is, and what was met; raw ids to rows of the catalogues.

Legend of shapes: B rows of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from torch import Tensor, nn

from core.dataset import ITEM_INDEX, TARGET, TIME, USER_INDEX, Dataset
from core.errors import UserError
from core.schema import Column, Tag
from etl.onnx import GraphBuilder, Ragged, Value
from serve.bundle import HISTORY_COLUMN as COLUMN
from serve.signature import Input
from train.batch import Batch, Features, ListFeature
from train.histories import HISTORY
from train.models.retrieve.base import Reads, Scores
from train.pairs import ENTITY

if TYPE_CHECKING:
    from serve.parts import TrainedRetriever


@dataclass(frozen=True)
class Query:
    """The query side of a candidate generator, as it is served.

    Attributes:
        module: Batch of `features` -> vector_BV, or score_BI.
        features: What it reads: of the workflow, and more.
        more: Feature that no workflow makes -> its raw input.
        ids: The same -> raw ids in the order of rows; any other id is unknown.
    """

    module: nn.Module
    features: Features
    more: Mapping[str, Input]
    ids: Mapping[str, pl.Series]

    @property
    def scores(self) -> bool:
        """Whether it scores every item, and has no vector."""
        return isinstance(self.module, Scores)

    @property
    def items(self) -> int:
        """Size of the catalogue, for a query that reads what was met."""
        return len(self.ids[HISTORY])

    @property
    def own(self) -> tuple[str, ...]:
        """The features that the workflow makes."""
        return tuple(name for name in self.features.names if name not in self.more)

    def made(self, graph: GraphBuilder, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """The features that no workflow makes, in a serving graph.

        Args:
            graph: Takes the nodes.
            inputs: Raw column -> value.
        """
        found: dict[str, Value] = {}
        for name, item in self.more.items():
            given, ids = inputs[item.name], self.ids[name]
            if isinstance(given, Ragged):
                found[name] = _known(graph, Ragged(*_row(graph, given, ids, -1), given.offsets))
            else:
                found[name] = Value(*_row(graph, given, ids, len(ids)))
        return found

    def columns(self, raw: pl.DataFrame) -> list[pl.Series]:
        """The same features of raw rows, by Polars."""
        found = []
        for name, item in self.more.items():
            ids = self.ids[name]
            rows = pl.int_range(len(ids), dtype=pl.Int64, eager=True)
            if item.is_list:
                looked = pl.element().replace_strict(ids, rows, default=None, return_dtype=pl.Int64)
                row = pl.col(item.name).list.eval(looked).list.drop_nulls()
            else:
                row = pl.col(item.name).replace_strict(ids, rows, default=len(ids), return_dtype=pl.Int64)
            found.append(raw.select(row.alias(name)).to_series())
        return found


def query_of(retriever: TrainedRetriever, dataset: Dataset) -> Query:
    """What a candidate generator's query reads.

    Raises:
        UserError: A raw column has the name of the history.
    """
    more, ids = {}, {}
    reads, raw = retriever.reads, dataset.raw_schema()
    features = retriever.user_features if Reads.FEATURES in reads else Features((), (), ())
    if Reads.USER in reads:
        ids[ENTITY] = _ids(dataset, "users", raw.first(Tag.USER_ID))
        more[ENTITY] = Input.of(_required(raw.first(Tag.USER_ID)))
        sizes = (*features.cardinalities, len(ids[ENTITY]) + 1)
        features = replace(features, categorical=(*features.categorical, ENTITY), cardinalities=sizes)
    if Reads.HISTORY in reads:
        if COLUMN in raw.names:
            told = "a raw column has the name of the input that tells what somebody met"
            raise UserError(told, where=f"column {COLUMN}", cure="rename the column")
        item = _required(raw.first(Tag.ITEM_ID))
        ids[HISTORY] = _ids(dataset, "items", item)
        more[HISTORY] = replace(Input.of(item), name=COLUMN, side="user", is_list=True)
        features = replace(features, lists=(*features.lists, ListFeature(HISTORY, len(ids[HISTORY]))))
    module = retriever.query_module
    return Query(_ByNumber(module) if Reads.USER in reads else module, features, more, ids)


def with_histories(users: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """Every user in the order of rows, with the column `history`: what the user liked, oldest first, as raw ids.

    As `train.histories.Histories` sorts it: by time, and rows of one moment as they lie in the file.
    """
    item = _required(dataset.raw_schema().first(Tag.ITEM_ID)).name
    ids = pl.scan_parquet(dataset.entity_file("items")).select(pl.col(item).alias(COLUMN))
    ids = ids.with_row_index(ITEM_INDEX).with_columns(pl.col(ITEM_INDEX).cast(pl.Int32))
    liked = pl.scan_parquet(dataset.interactions_file).with_row_index("place").filter(pl.col(TARGET) > 0.5)
    by_time = liked.join(ids, on=ITEM_INDEX, how="left").sort(USER_INDEX, pl.col(TIME).fill_null(0), "place")
    met = by_time.group_by(USER_INDEX, maintain_order=True).agg(COLUMN)
    numbered = users.lazy().with_row_index(USER_INDEX).with_columns(pl.col(USER_INDEX).cast(pl.Int32))
    joined = numbered.join(met, on=USER_INDEX, how="left", maintain_order="left")
    return joined.drop(USER_INDEX).with_columns(pl.col(COLUMN).fill_null([])).collect()


def with_met(raw: pl.DataFrame, dataset: Dataset, users: Path) -> pl.DataFrame:
    """Raw rows, each with the column `history` of its user, out of the users of a bundle."""
    name = _required(dataset.raw_schema().first(Tag.USER_ID)).name
    met = pl.read_parquet(users, columns=[name, COLUMN]).with_columns(pl.col(name).cast(raw.schema[name]))
    return raw.join(met, on=name, how="left", maintain_order="left")


class _ByNumber(nn.Module):
    """A query that reads the user's row, over batches that hold it as their last id."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> vector_BV."""
        ids_BF = batch.ids_BF
        vector_BV: Tensor = self.module(replace(batch, ids_BF=ids_BF[:, :-1], extra={ENTITY: ids_BF[:, -1]}))
        return vector_BV


def _row(graph: GraphBuilder, given: Value, ids: pl.Series, unknown: int) -> tuple[str, str]:
    """The row of each raw id."""
    kind = "strings" if given.dtype == "string" else "int64s"
    keys = ids.cast(pl.String if given.dtype == "string" else pl.Int64).to_list()
    settings = {f"keys_{kind}": keys, "values_int64s": list(range(len(keys))), "default_int64": unknown}
    found = graph.op("LabelEncoder", given, dtype="int64", domain="ai.onnx.ml", **settings)
    return found.name, found.dtype


def _known(graph: GraphBuilder, lists: Ragged) -> Ragged:
    """Lists without the elements below zero."""
    kept = graph.op("GreaterOrEqual", lists, graph.constant(0, "int64"), dtype="bool")
    counted = graph.op("CumSum", graph.op("Cast", kept, dtype="int64", to=7), graph.constant(0, "int64"), dtype="int64")
    before = graph.op("Concat", graph.constant([0], "int64"), counted, dtype="int64", axis=0)
    offsets = graph.op("Gather", before, lists.offsets, dtype="int64")
    values = graph.op("Compress", lists, kept, dtype="int64", axis=0)
    return Ragged(values.name, "int64", offsets)


def _ids(dataset: Dataset, entities: str, column: Column | None) -> pl.Series:
    return pl.read_parquet(dataset.entity_file(entities), columns=[_required(column).name]).to_series()


def _required(column: Column | None) -> Column:
    assert column is not None, "a data set with users and items names their ids"
    return column
