"""Any Polars expression, from Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import polars as pl
import polars.exceptions as pe
from pydantic import BeforeValidator, Field, JsonValue, field_validator

from core.errors import UserError
from core.schema import Column, DType
from core.spec import custom_error
from etl.onnx import GraphBuilder, Value
from etl.ops.base import Operator, State, Wiring
from etl.ops.declare import continuous
from etl.ops.keyed import AnyNames
from etl.ops.metadata import Tags, described
from etl.types import POLARS, canonical_dtype, dtype_of

_DTYPES = {
    DType.STRING: {"str", "string", "utf8", "object"},
    DType.INT64: {f"{kind}{size}" for kind in ("int", "uint") for size in ("", 8, 16, 32, 64)} | {"bool", "boolean"},
    DType.FLOAT64: {"float", "float16", "float32", "float64", "double"},
}
_WITH_OTHERS = 2


def _dtype(value: Any) -> Any:
    """A type by its name, or of numpy, Polars or Python."""
    if value is None or isinstance(value, DType):
        return value
    name = (getattr(value, "__name__", None) or str(value)).lower()
    for dtype, names in _DTYPES.items():
        if name in names:
            return dtype
    raise custom_error("dtype", f"must be an integer, float or string type, got {name}")


class LambdaOp(Operator[State]):
    """A function from a Polars expression to one, over each column; row by row, or the result depends on the data.

    It lives in Python alone: a workflow with one can't be saved or exported. `Formula` can.

    Args:
        f: `lambda x: ...`, or `lambda x, others: ...`, where `others["name"]` is one of the other columns.
        dependency: Columns that it needs beside those that it is applied to.
        label: What messages call it.
        dtype: Type of what it gives: an integer, float or string type; by default Polars is asked, for which
            columns in `dependency` count as floats.
        tags: Tags to add.
        properties: Properties to add.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"name": ["Ann", "Bo"], "age": [20, 40]})
        >>> Workflow(["name"] >> LambdaOp(lambda name: name.str.len_chars())).fit(frame).transform(
        ...     frame).collect()["name"].to_list()
        [3.0, 2.0]
        >>> share = LambdaOp(lambda age, others: age / others["total"], dependency="total")
        >>> Workflow(["age"] >> share).fit(frame.with_columns(total=80)).transform(
        ...     frame.with_columns(total=80)).collect()["age"].to_list()
        [0.25, 0.5]
    """

    kind: ClassVar[str] = "lambda"

    f: Callable[..., pl.Expr]
    dependency: AnyNames = ()
    label: str | None = None
    dtype: Annotated[DType | None, BeforeValidator(_dtype)] = None
    tags: Tags = ()
    properties: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("f")
    @classmethod
    def _takes_one_or_two(cls, f: Callable[..., pl.Expr]) -> Callable[..., pl.Expr]:
        if len(inspect.signature(f).parameters) not in {1, _WITH_OTHERS}:
            raise custom_error("lambda", "the function must take the column, or the column and the others")
        return f

    @property
    def dependencies(self) -> tuple[str, ...]:
        """See `Operator`."""
        return self.dependency

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare what Polars says of the function's type: integers, floats or strings."""
        return tuple(
            described(self._declare(column, columns), self.tags, self.properties, "lambda") for column in columns
        )

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Apply the function."""
        others = {name: pl.col(port) for name, port in wiring.inputs.items()}
        made = []
        for column in columns:
            dtype = self._declare(column, columns).dtype
            value = self._apply(others[column.name], others).cast(POLARS[dtype])
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

    def _apply(self, x: pl.Expr, others: Mapping[str, pl.Expr]) -> pl.Expr:
        return self.f(x) if len(inspect.signature(self.f).parameters) == 1 else self.f(x, others)

    def _declare(self, column: Column, columns: Sequence[Column]) -> Column:
        dtype = self.dtype or self._found(column, columns)
        if dtype == DType.STRING:
            return replace(column, dtype=dtype, cardinality=None, embedding_dim=None)
        return continuous(column, nullable=True, dtype=dtype)

    def _found(self, column: Column, columns: Sequence[Column]) -> DType:
        """What Polars says of the result's type."""
        schema = {name: pl.Float64() for name in self.dependency} | {one.name: POLARS[one.dtype] for one in columns}
        others = {name: pl.col(name) for name in schema}
        try:
            made = pl.LazyFrame(schema=schema).select(self._apply(others[column.name], others)).collect_schema()
        except pe.PolarsError as error:
            told = f"{self.label or 'the function'} can't be applied ({str(error).splitlines()[0]})"
            raise UserError(told, where=f"column {column.name}", cure="mend it, or give its dtype") from None
        return canonical_dtype(dtype_of(made.dtypes()[0], column.name))

    def _python_only(self, columns: Sequence[Column], verb: str) -> UserError:
        names = ", ".join(column.name for column in columns)
        return UserError(
            f"LambdaOp{f' {self.label}' if self.label else ''} holds Python code and can't be {verb}",
            where=f"column {names}",
            cure="write it as an `expression`",
        )
