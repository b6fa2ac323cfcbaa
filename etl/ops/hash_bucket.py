"""Values to ids by a hash, without a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from pydantic import Field

from core.schema import Column
from etl.hashing import add_bucket, bucket_node
from etl.onnx import GraphBuilder, Value, is_null
from etl.ops.base import Operator, State, Wiring
from etl.ops.declare import categorical, require_keys
from etl.ops.nvt import nvtabular_ops


class HashBucket(Operator[State]):
    """Hash of the value modulo `num_buckets`: ids 0 .. num_buckets-1; null goes to bucket 0.

    Integers and strings only. The hash is ours (`etl.hashing`), so the buckets differ from NVTabular's, whose
    CPU code also hashes the number of the row.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"city": ["Oslo", "Oslo", None]})
        >>> Workflow(["city"] >> HashBucket(10)).fit(frame).transform(frame).collect()["city"].to_list()
        [5, 5, 0]
    """

    kind = "hash_bucket"

    num_buckets: int = Field(ge=1, lt=2**31)

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare id columns."""
        require_keys(columns, self.kind)
        return tuple(categorical(column, self.num_buckets) for column in columns)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Add the buckets."""
        for column in columns:
            source, output = wiring.inputs[column.name], wiring.outputs[column.name]
            frame = add_bucket(frame, source, column.dtype, output, buckets=self.num_buckets, collect=wiring.collect)
        return frame

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """The same hash in the graph."""
        return {
            column.name: bucket_node(graph, inputs[column.name], self.num_buckets, is_null(graph, inputs[column.name]))
            for column in columns
        }

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.HashBucket`."""
        return nvtabular_ops().HashBucket(self.num_buckets)
