"""Numbers in the smallest type that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import polars as pl

from core.schema import Column, DType, Tag
from etl.onnx import INT_NULL, GraphBuilder, Value, where
from etl.ops.base import Collected, Operator, State, Statistics, Wiring
from etl.ops.declare import SIGNED, continuous
from etl.ops.foreign import Float32
from etl.ops.nvt import nvtabular_ops
from etl.types import FLOATS, POLARS

_SIZES = {DType.INT8: 8, DType.INT16: 16, DType.INT32: 32, DType.INT64: 64}


@dataclass(frozen=True)
class Ranges(State):
    """Smallest and largest value of each column of integers."""

    low: dict[str, int]
    high: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """See `State`."""
        return asdict(self)


class ReduceDtypeSize(Operator[Ranges]):
    """Integers become int8, int16, int32 or int64, whichever holds the training rows; floats become float32.

    A later value that the type does not hold becomes null; it is never wrapped into another one. Ids get the type
    that holds their cardinality, so they are never null. Strings stay. Numbers for a model (continuous ones) are
    float32 in any case.

    Args:
        float_dtype: float32.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"n": [1, 100]})
        >>> fitted = Workflow(["n"] >> ReduceDtypeSize()).fit(frame)
        >>> made = fitted.transform(pl.DataFrame({"n": [127, 128]})).collect()["n"]
        >>> made.dtype, made.to_list()
        (Int8, [127, None])
    """

    kind = "reduce_dtype_size"
    state_type = Ranges

    float_dtype: Float32 = "float32"

    def outputs(self, columns: Sequence[Column], state: Ranges | None = None) -> tuple[Column, ...]:
        """Declare the columns with their types; before the fit, integers as they are."""
        return tuple(self._reduced(column, state) for column in columns)

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """The extremes of integers."""
        scalars: dict[str, pl.Expr] = {}
        for column in filter(_learned, columns):
            x = pl.col(wiring.inputs[column.name])
            scalars |= {f"low@{column.name}": x.min(), f"high@{column.name}": x.max()}
        return Statistics(scalars)

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Ranges:
        """Read the extremes; a column without a value (in an update) has none."""
        ends: dict[str, dict[str, int]] = {"low": {}, "high": {}}
        for name, value in collected.scalars.items():
            end, _, column = name.partition("@")
            if value is not None:
                ends[end][column] = int(value)
        return Ranges(**ends)

    def merge(self, old: Ranges, new: Ranges, columns: Sequence[Column]) -> Ranges:
        """The wider range; its type may be a larger one."""
        low = {name: min(value, new.low.get(name, value)) for name, value in old.low.items()}
        return Ranges(low, {name: max(value, new.high.get(name, value)) for name, value in old.high.items()})

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: Ranges) -> pl.LazyFrame:
        """Cast; what does not fit is null."""
        made = []
        for column in columns:
            x, dtype = pl.col(wiring.inputs[column.name]), self._reduced(column, state).dtype
            if _learned(column) and dtype != column.dtype:
                x = pl.when(x.is_between(*_ends(dtype))).then(x)
            made.append((x if dtype == column.dtype else x.cast(POLARS[dtype])).alias(wiring.outputs[column.name]))
        return frame.with_columns(made)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: Ranges
    ) -> dict[str, Value]:
        """Integers stay int64 in the graph; those that do not fit are null."""
        made = {}
        for column in columns:
            x, dtype = inputs[column.name], self._reduced(column, state).dtype
            if _learned(column) and dtype != column.dtype:
                low, high = (graph.constant(end, "int64") for end in _ends(dtype))
                above = graph.op("GreaterOrEqual", x, low, dtype="bool")
                fits = graph.op("And", above, graph.op("LessOrEqual", x, high, dtype="bool"), dtype="bool")
                x = where(graph, fits, x, graph.constant(INT_NULL, "int64"))
            made[column.name] = x
        return made

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.ReduceDtypeSize`."""
        return nvtabular_ops().ReduceDtypeSize()

    def _reduced(self, column: Column, state: Ranges | None) -> Column:
        if column.dtype in FLOATS:
            return continuous(column, dtype=column.dtype)
        if Tag.CATEGORICAL in column.tags:
            return column if column.cardinality is None else column.with_dtype(_smallest(0, column.cardinality - 1))
        if state is None or not _learned(column):
            return column
        return replace(column, dtype=_smallest(state.low[column.name], state.high[column.name]), nullable=True)


def _learned(column: Column) -> bool:
    """Whether the type of a column depends on the values of the training rows."""
    return column.dtype in SIGNED and column.tags.isdisjoint({Tag.CATEGORICAL, Tag.CONTINUOUS})


def _ends(dtype: DType) -> tuple[int, int]:
    half = 2 ** (_SIZES[dtype] - 1)
    return -half, half - 1


def _smallest(low: int, high: int) -> DType:
    """The smallest type that holds both ends.

    Example:
        >>> _smallest(0, 127).value, _smallest(-129, 0).value
        ('int8', 'int16')
    """
    return next(dtype for dtype in _SIZES if _ends(dtype)[0] <= low and high <= _ends(dtype)[1])
