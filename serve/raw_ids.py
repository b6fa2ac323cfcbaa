"""Raw ids of a request as rows of a catalogue: in a serving graph, and by Polars for the golden rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from core.dataset import Dataset
from core.errors import UserError
from core.schema import Tag
from etl.onnx import GraphBuilder, Ragged, Value
from serve.bundle import HISTORY_COLUMN
from serve.signature import Input


@dataclass(frozen=True)
class RawIds:
    """The ids of all users or of all items.

    Attributes:
        input: Where a request says them: one a row, or a list.
        ids: Raw ids in the order of rows. Any other id is the row behind the last one; lists leave it out.
    """

    input: Input
    ids: pl.Series

    @classmethod
    def of_user(cls, dataset: Dataset) -> RawIds:
        """The id of who asks."""
        column = dataset.raw_schema().first(Tag.USER_ID)
        assert column is not None, "a data set with users names their ids"
        return cls(Input.of(column), _ids(dataset, "users", column.name))

    @classmethod
    def of_history(cls, dataset: Dataset, *, column: str = HISTORY_COLUMN) -> RawIds:
        """The ids of the items that somebody met: the input `history`.

        Args:
            dataset: Names the items.
            column: Column of the users of a bundle that holds it.

        Raises:
            UserError: A raw column has the name of the input.
        """
        raw = dataset.raw_schema()
        if HISTORY_COLUMN in raw.names:
            told = "a raw column has the name of the input that tells what somebody met"
            raise UserError(told, where=f"column {HISTORY_COLUMN}", cure="rename the column")
        item = raw.first(Tag.ITEM_ID)
        assert item is not None, "a data set with items names their ids"
        given = replace(
            Input.of(item),
            name=HISTORY_COLUMN,
            side="user",
            is_list=True,
            stored=column if column != HISTORY_COLUMN else "",
        )
        return cls(given, _ids(dataset, "items", item.name))

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, graph: GraphBuilder, given: Value) -> Value:
        """The row of each id, in a serving graph."""
        if isinstance(given, Ragged):
            return _known(graph, Ragged(*self._looked_up(graph, given, -1), given.offsets))
        return Value(*self._looked_up(graph, given, len(self)))

    def column(self, raw: pl.DataFrame) -> pl.Series:
        """The row of each id of raw rows."""
        rows = pl.int_range(len(self), dtype=pl.Int64, eager=True)
        if self.input.is_list:
            looked = pl.element().replace_strict(self.ids, rows, default=None, return_dtype=pl.Int64)
            row = pl.col(self.input.name).list.eval(looked).list.drop_nulls()
        else:
            row = pl.col(self.input.name).replace_strict(self.ids, rows, default=len(self), return_dtype=pl.Int64)
        return raw.select(row).to_series()

    def _looked_up(self, graph: GraphBuilder, given: Value, unknown: int) -> tuple[str, str]:
        kind = "strings" if given.dtype == "string" else "int64s"
        keys = self.ids.cast(pl.String if given.dtype == "string" else pl.Int64).to_list()
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


def _ids(dataset: Dataset, entities: str, column: str) -> pl.Series:
    return pl.read_parquet(dataset.entity_file(entities), columns=[column]).to_series()
