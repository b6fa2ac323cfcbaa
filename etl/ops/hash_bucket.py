"""Values to ids by a hash, without a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import Column
from etl.onnx import GraphBuilder, Value, is_null, like
from etl.ops.amounts import Buckets, require_known
from etl.ops.base import Operator, State, Wiring
from etl.ops.declare import categorical, require_keys
from etl.ops.nvt import nvtabular_ops
from etl.types import clean
from etl.values.hashing import add_bucket, bucket, bucket_node
from etl.values.lists import add_lists, filled


class HashBucket(Operator[State]):
    """Hash of the value modulo `num_buckets`: ids 0 .. num_buckets-1; null goes to bucket 0. Also of list elements.

    Integers and strings only. The hash is ours (`etl.values.hashing`), so the buckets differ from NVTabular's, whose
    CPU code also hashes the number of the row.

    Args:
        num_buckets: Number of ids, for every column or by column.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"city": ["Oslo", "Oslo", None]})
        >>> Workflow(["city"] >> HashBucket(10)).fit(frame).transform(frame).collect()["city"].to_list()
        [5, 5, 0]
    """

    kind = "hash_bucket"
    takes_lists = True

    num_buckets: Buckets

    def buckets(self, name: str) -> int:
        """Number of ids of a column.

        Raises:
            UserError: The mapping has none for it.
        """
        if not isinstance(self.num_buckets, dict):
            return self.num_buckets
        if name not in self.num_buckets:
            raise UserError("hash_bucket has no num_buckets for this column", where=f"column {name}")
        return self.num_buckets[name]

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare id columns."""
        require_keys(columns, self.kind)
        if state is None:
            require_known(self.num_buckets, [column.name for column in columns], f"{self.kind}'s num_buckets")
        return tuple(categorical(column, self.buckets(column.name)) for column in columns)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Add the buckets."""
        lists = {column.name: self._in_lists(column, wiring) for column in columns if column.is_list}
        for column in columns:
            if not column.is_list:
                source, output = wiring.inputs[column.name], wiring.outputs[column.name]
                buckets = self.buckets(column.name)
                frame = add_bucket(frame, source, column.dtype, output, buckets=buckets, collect=wiring.collect)
        return add_lists(frame, lists, wiring)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """The same hash in the graph."""
        made = {}
        for column in columns:
            x = inputs[column.name]
            made[column.name] = like(x, bucket_node(graph, x, self.buckets(column.name), is_null(graph, x)))
        return made

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.HashBucket`."""
        return nvtabular_ops().HashBucket(self.num_buckets)

    def _in_lists(self, column: Column, wiring: Wiring) -> pl.Expr:
        (made,) = self.outputs((column,), State())
        x, part = pl.col(wiring.inputs[column.name]), clean(pl.element(), column.dtype)
        return filled(x.list.eval(bucket(part, column.dtype, self.buckets(column.name))), made)
