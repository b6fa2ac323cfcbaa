"""Any Polars expression, from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import Column, DType
from etl.onnx import GraphBuilder, Value
from etl.ops.base import Operator, State, Wiring
from etl.ops.declare import continuous
from etl.types import POLARS, canonical_dtype, dtype_of


class LambdaOp(Operator[State]):
    """A function from a Polars expression to one, over each column; row by row, or the result depends on the data.

    It lives in Python alone: a workflow with one can't be saved or exported. `Formula` can.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"name": ["Ann", "Bo"]})
        >>> Workflow(["name"] >> LambdaOp(lambda name: name.str.len_chars())).fit(frame).transform(
        ...     frame).collect()["name"].to_list()
        [3.0, 2.0]
    """

    kind = "lambda"

    f: Callable[[pl.Expr], pl.Expr]

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare what Polars says of the function's type: integers, floats or strings."""
        return tuple(self._declare(column) for column in columns)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Apply the function."""
        made = []
        for column in columns:
            dtype = self._declare(column).dtype
            value = self.f(pl.col(wiring.inputs[column.name])).cast(POLARS[dtype])
            clean = value.fill_nan(None) if dtype == DType.FLOAT64 else value
            made.append(clean.alias(wiring.outputs[column.name]))
        return frame.with_columns(made)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """Refuse: Python code has no place in a serving graph."""
        raise self._python_only(columns, "exported")

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """Refuse: NVTabular's LambdaOp takes functions of cuDF or pandas columns."""
        raise self._python_only(columns, "translated to NVTabular")

    def _declare(self, column: Column) -> Column:
        frame = pl.LazyFrame(schema={column.name: POLARS[column.dtype]})
        made = frame.select(self.f(pl.col(column.name))).collect_schema().dtypes()[0]
        dtype = canonical_dtype(dtype_of(made, column.name))
        if dtype == DType.STRING:
            return column.with_dtype(dtype)
        return continuous(column, nullable=True, dtype=dtype)

    def _python_only(self, columns: Sequence[Column], verb: str) -> UserError:
        names = ", ".join(column.name for column in columns)
        return UserError(
            f"LambdaOp holds Python code and can't be {verb}",
            where=f"column {names}",
            cure="write it as an `expression`",
        )
