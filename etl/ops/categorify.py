"""Values to ids of a vocabulary, in NVTabular's layout.

- 0: padding
- 1: null
- 2 .. 1 + num_buckets: out of vocabulary; one id by default, else the hash of the value chooses
- 2 + num_buckets and on: the vocabulary, most frequent value first, ties by value ascending
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from core.errors import UserError
from core.schema import Column, DType
from core.spec import custom_error
from etl.hashing import add_bucket, bucket_node
from etl.lookup import add_ids
from etl.onnx import INT_NULL, GraphBuilder, Value, is_null, where
from etl.ops.base import Collected, Operator, Statistics, Wiring
from etl.ops.declare import categorical
from etl.ops.keys import integral, key_dtype, key_expression, key_node
from etl.ops.nvt import nvtabular_ops
from etl.ops.vocabularies import Vocabularies, Vocabulary, merge, rank, settle

NULL, OOV = 1, 2
_MISSED = -1
_MOST_IDS = 2**31 - 1


class Categorify(Operator[Vocabularies]):
    """Integers, strings, or floats that hold whole numbers, to ids; each column has its own vocabulary.

    Args:
        freq_threshold: Keep values that occur at least this often; the others are out of vocabulary.
        max_size: Most ids of a column, the reserved ones included.
        num_buckets: Number of ids for what is out of vocabulary.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"city": ["Rome", "Oslo", "Rome", None]})
        >>> fitted = Workflow(["city"] >> Categorify()).fit(frame)
        >>> fitted.transform(pl.DataFrame({"city": ["Rome", "Oslo", "Lima", None, ""]})).collect()["city"].to_list()
        [3, 4, 2, 1, 1]
    """

    kind = "categorify"
    state_type = Vocabularies

    freq_threshold: int = Field(default=0, ge=0)
    max_size: int = Field(default=0, ge=0, le=_MOST_IDS)
    num_buckets: int = Field(default=1, ge=1, le=_MOST_IDS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_size and self.max_size <= self.first:
            told = f"max_size must be above {self.first}, the number of reserved ids, got {self.max_size}"
            raise custom_error("max_size", told)
        return self

    @property
    def first(self) -> int:
        """Id of the most frequent value."""
        return OOV + self.num_buckets

    def outputs(self, columns: Sequence[Column], state: Vocabularies | None = None) -> tuple[Column, ...]:
        """Declare id columns; a fit tells their cardinality."""
        return tuple(
            categorical(column, None if state is None else self.first + state.by_column[column.name].height)
            for column in columns
        )

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """How often each value occurs; and for floats whether all are whole numbers."""
        tables, scalars = {}, {}
        for column in columns:
            x = pl.col(wiring.inputs[column.name])
            key = frame.select(key_expression(x, column).alias("value")).filter(pl.col("value").is_not_null())
            tables[column.name] = key.group_by("value").agg(pl.len().alias("count"))
            if column.dtype == DType.FLOAT64:
                scalars[column.name] = (~integral(x)).cast(pl.Int64).sum()
        return Statistics(scalars, tables)

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Vocabularies:
        """Put the values in order."""
        vocabularies = {}
        for column in columns:
            if collected.scalars.get(column.name):
                raise UserError(
                    "categorify takes whole numbers or strings, and the column holds other numbers",
                    where=f"column {column.name}",
                    cure="use bucketize, or normalize",
                )
            counts = collected.tables[column.name]
            vocabularies[column.name] = rank(counts, threshold=self.freq_threshold, most=self._most)
        return Vocabularies.of(vocabularies)

    def merge(self, old: Vocabularies, new: Vocabularies, columns: Sequence[Column]) -> Vocabularies:
        """Known values keep their ids; others get the next ones when they are seen often enough."""
        return Vocabularies.of({column.name: self._merged(old, new, column.name) for column in columns})

    def settle(self, state: Vocabularies) -> Vocabularies:
        """Leave out values that can't get an id any more."""
        return Vocabularies.of({name: settle(state[name], most=self._most) for name in state.by_column})

    def transform(
        self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: Vocabularies
    ) -> pl.LazyFrame:
        """Look values up, then give nulls and unknown values their ids."""
        keys = [
            key_expression(pl.col(wiring.inputs[column.name]), column).alias(_key(wiring.outputs[column.name]))
            for column in columns
        ]
        frame = frame.with_columns(keys)
        for column in columns:
            frame = self._add_found(frame, column, wiring, state.by_column[column.name]["value"])
        return frame.with_columns(self._id(wiring.outputs[column.name]) for column in columns)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: Vocabularies
    ) -> dict[str, Value]:
        """A LabelEncoder that knows null as one more value."""
        return {
            column.name: self._node(graph, inputs[column.name], state.by_column[column.name]["value"])
            for column in columns
        }

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.Categorify`."""
        buckets = self.num_buckets if self.num_buckets > 1 else None
        return nvtabular_ops().Categorify(
            freq_threshold=self.freq_threshold, max_size=self.max_size, num_buckets=buckets
        )

    @property
    def _most(self) -> int:
        """Largest number of values that have ids."""
        return (self.max_size or _MOST_IDS) - self.first

    def _merged(self, old: Vocabularies, new: Vocabularies, name: str) -> Vocabulary:
        limits = {"threshold": self.freq_threshold, "most": self._most}
        return merge(old[name], new[name], where=f"column {name}", **limits)

    @property
    def _unknown(self) -> int:
        """What a lookup gives for a value that it doesn't hold."""
        return OOV if self.num_buckets == 1 else _MISSED

    def _add_found(self, frame: pl.LazyFrame, column: Column, wiring: Wiring, values: pl.Series) -> pl.LazyFrame:
        output = wiring.outputs[column.name]
        frame = add_ids(
            frame,
            _key(output),
            values,
            _found(output),
            first=self.first,
            unknown=self._unknown,
            ordered=wiring.ordered,
        )
        if self.num_buckets == 1:
            return frame
        return add_bucket(
            frame,
            _key(output),
            key_dtype(column),
            _bucket(output),
            buckets=self.num_buckets,
            collect=wiring.collect,
        )

    def _id(self, output: str) -> pl.Expr:
        found = pl.col(_found(output))
        if self.num_buckets > 1:
            found = pl.when(found == _MISSED).then(pl.col(_bucket(output)) + OOV).otherwise(found)
        null = pl.col(_key(output)).is_null()
        return pl.when(null).then(pl.lit(NULL, pl.Int32)).otherwise(found).alias(output)

    def _node(self, graph: GraphBuilder, x: Value, values: pl.Series) -> Value:
        key = key_node(graph, x)
        ids = label_encoder(graph, key, values, first=self.first, unknown=self._unknown)
        if self.num_buckets == 1:
            return ids
        bucket = bucket_node(graph, key, self.num_buckets, is_null(graph, key))
        hashed = graph.op("Add", bucket, graph.constant(OOV, "int64"), dtype="int64")
        missed = graph.op("Equal", ids, graph.constant(_MISSED, "int64"), dtype="bool")
        return where(graph, missed, hashed, ids)


def _key(output: str) -> str:
    return f"{output}!key"


def _found(output: str) -> str:
    return f"{output}!found"


def _bucket(output: str) -> str:
    return f"{output}!bucket"


def label_encoder(graph: GraphBuilder, key: Value, values: pl.Series, *, first: int, unknown: int) -> Value:
    """Look keys up in the serving graph: int64 ids."""
    ids = np.concatenate([[NULL], np.arange(first, first + len(values))]).astype(np.int64)
    if key.dtype == "string":
        settings = {"keys_strings": ["", *values.to_list()], "values_int64s": ids.tolist(), "default_int64": unknown}
    else:
        keys = np.concatenate([[INT_NULL], values.to_numpy()]).astype(np.int64)
        settings = {
            "keys_tensor": keys,
            "values_tensor": ids,
            "default_tensor": np.array([unknown], np.int64),
        }
    return graph.op("LabelEncoder", key, dtype="int64", domain="ai.onnx.ml", **settings)
