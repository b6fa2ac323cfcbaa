"""Several columns to one column of ids by a hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import polars as pl
from pydantic import BeforeValidator

from core.errors import UserError
from core.schema import Column, DType
from core.suggest import did_you_mean
from etl.onnx import GraphBuilder, Value
from etl.ops.amounts import Buckets
from etl.ops.base import Operator, State, Wiring
from etl.ops.declare import categorical, require_keys
from etl.ops.keyed import Groups, Key
from etl.ops.nvt import nvtabular_ops
from etl.values.hashing import add_cross, cross_node

_BETWEEN = "_X_"


def _named(value: Any) -> Any:
    """Crosses by the name of their output; in Python they may be given as tuples of columns, as in NVTabular."""
    if not isinstance(value, Mapping):
        return value
    return {_BETWEEN.join(cross) if isinstance(cross, tuple) else cross: size for cross, size in value.items()}


class HashedCross(Operator[State]):
    """Hash of several columns together modulo `num_buckets`: ids 0 .. num_buckets-1 in the column `a_X_b`.

    All columns are crossed, or those of each list: `[["a", "b"], ["a", "c"]] >> HashedCross(100)`. Null is a value
    like any other. Integers and strings only. The hash is ours (`etl.values.hashing`): it knows the order of the
    columns, while NVTabular's xor gives every row with equal values the same bucket, and its CPU code also hashes the
    number of the row.

    Args:
        num_buckets: Of every cross, or by cross: `{"a_X_b": 100}`.
        groups: The crosses.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"a": [1, 1, 2], "b": ["x", "x", "x"]})
        >>> made = Workflow(["a", "b"] >> HashedCross(1000)).fit(frame).transform(frame).collect()
        >>> made.columns, made["a_X_b"].n_unique()
        (['a_X_b'], 2)
    """

    kind = "hashed_cross"
    columnwise = False

    num_buckets: Annotated[Buckets, BeforeValidator(_named)]
    groups: Groups = ()

    def grouped(self, groups: Groups) -> HashedCross:
        """Cross the columns of each group."""
        return self.model_copy(update={"groups": groups})

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare a column of ids for each cross."""
        require_keys(columns, self.kind)
        crosses = self._crosses(columns)
        crossed = {name for cross in crosses for name in cross.names}
        for column in columns:
            if column.name not in crossed:
                cure = "write the columns of each cross in a list of their own"
                raise UserError(f"{self.kind} has no cross of this column", where=f"column {column.name}", cure=cure)
        return tuple(categorical(cross.belongs, self._buckets(cross)).renamed(_name(cross)) for cross in crosses)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Add the buckets."""
        for cross in self._crosses(columns):
            frame = add_cross(
                frame,
                [wiring.inputs[name] for name in cross.names],
                [DType.STRING if column.dtype == DType.STRING else DType.INT64 for column in cross.columns],
                wiring.outputs[_name(cross)],
                buckets=self._buckets(cross),
                collect=wiring.collect,
            )
        return frame

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """The same hash in the graph."""
        return {
            _name(cross): cross_node(graph, [inputs[name] for name in cross.names], self._buckets(cross))
            for cross in self._crosses(columns)
        }

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.HashedCross`; crosses are written in its selector."""
        if not isinstance(self.num_buckets, dict):
            return nvtabular_ops().HashedCross(self.num_buckets)
        return nvtabular_ops().HashedCross({cross.names: self._buckets(cross) for cross in self._crosses(columns)})

    def _crosses(self, columns: Sequence[Column]) -> list[Key]:
        known = {column.name: column for column in columns}
        groups = self.groups or (tuple(known),)
        return [Key(tuple(known[name] for name in group)) for group in groups]

    def _buckets(self, cross: Key) -> int:
        if not isinstance(self.num_buckets, dict):
            return self.num_buckets
        name = _name(cross)
        if name not in self.num_buckets:
            told = did_you_mean(name, self.num_buckets)
            raise UserError("num_buckets has no number for this cross", where=f"column {name}", cure=told)
        return self.num_buckets[name]


def _name(cross: Key) -> str:
    return cross.label(_BETWEEN)
