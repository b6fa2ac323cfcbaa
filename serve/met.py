"""What a ranker is told of the items that somebody met: their features, looked up by raw ids in a serving graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from core.dataset import Dataset
from etl.onnx import GraphBuilder, Ragged, Value
from etl.values.ragged import lengths, sliced
from serve.raw_ids import RawIds
from serve.signature import Array, Input
from train.batch import Features
from train.history_batches import HistorySpec
from train.item_columns import item_columns
from train.pairs import entity_batch
from train.spec import RankerSpec

if TYPE_CHECKING:
    from serve.parts import TrainedRanker


@dataclass(frozen=True)
class Met:
    """The histories among the features of a ranker.

    Attributes:
        ids: Of the items.
        tables: Feature -> the id that each item has there.
        longest: How many of the newest items are read.
    """

    ids: RawIds
    tables: Mapping[str, Array]
    longest: int

    @property
    def more(self) -> Mapping[str, Input]:
        """Feature -> its raw input, the same for all."""
        return dict.fromkeys(self.tables, self.ids.input)

    def made(self, graph: GraphBuilder, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """The features in a serving graph.

        Args:
            graph: Takes the nodes.
            inputs: Raw column -> value.
        """
        rows = self.ids.rows(graph, inputs[self.ids.input.name])
        assert isinstance(rows, Ragged), "a history is a list"
        size = lengths(graph, rows)
        count = graph.op("Min", size, graph.constant([self.longest], "int64"), dtype="int64")
        newest = sliced(graph, rows, graph.op("Sub", size, count, dtype="int64"), count)
        found: dict[str, Value] = {}
        for name, table_I in self.tables.items():
            ids = graph.op("Gather", graph.constant(table_I, "int64"), newest, dtype="int64")
            found[name] = Ragged(ids.name, "int64", newest.offsets)
        return found

    def columns(self, raw: pl.DataFrame) -> list[pl.Series]:
        """The same features of raw rows, by Polars."""
        rows = self.ids.column(raw).list.tail(self.longest).alias("rows").to_frame()
        tables = {name: pl.lit(pl.Series(table_I)) for name, table_I in self.tables.items()}
        looked = [pl.col("rows").list.eval(table.gather(pl.element())).alias(name) for name, table in tables.items()]
        return rows.select(looked).get_columns()


def history_of(ranker: TrainedRanker) -> HistorySpec | None:
    """How a ranker was told what users met; None: it wasn't."""
    if not ranker.features.history:
        return None
    assert isinstance(ranker.spec, RankerSpec), "the settings of a ranker"
    return ranker.spec.history or HistorySpec()


def met_of(ranker: TrainedRanker, dataset: Dataset, *, column: str) -> Met | None:
    """What a ranker reads of the items that somebody met; None: nothing.

    Args:
        ranker: A trained ranker.
        dataset: What it was trained on.
        column: Column of the users of a bundle that holds what they met.

    Raises:
        UserError: A raw column has the name of the history.
    """
    spec = history_of(ranker)
    if spec is None:
        return None
    return Met(RawIds.of_history(dataset, column=column), _tables(dataset, ranker.features), spec.longest)


def _tables(dataset: Dataset, features: Features) -> dict[str, Array]:
    known = item_columns(dataset)
    id_IF = entity_batch(dataset, "item", known).ids_BF.long().numpy()
    return {one.name: id_IF[:, known.categorical.index(str(one.of))] for one in features.history}
