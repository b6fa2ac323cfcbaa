"""Values for nulls."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import polars as pl
from pydantic import StrictFloat, StrictInt, StrictStr, TypeAdapter, field_validator

from core.errors import UserError
from core.schema import Column, DType
from core.spec import custom_error
from etl.onnx import INT_NULL, GraphBuilder, Value, is_null, to_float, where
from etl.ops import sketch
from etl.ops.base import Collected, Operator, S, State, Statistics, Wiring
from etl.ops.declare import SIGNED, continuous, not_to_be_continued, require_numbers
from etl.ops.elementwise import number
from etl.ops.nvt import nvtabular_ops
from etl.types import POLARS

VALUES = {DType.INT64: "int64", DType.INT32: "int64", DType.FLOAT64: "float64", DType.STRING: "string"}
"""Types of columns in the serving graph."""


class Fill(Operator[S]):
    """What FillMissing and FillMedian share: a value for nulls, and columns that say where one was filled in."""

    @abstractmethod
    def filled(self, column: Column) -> Column:
        """Declare a column without nulls."""

    @abstractmethod
    def value(self, column: Column, state: S) -> float | int | str:
        """What stands in for null."""

    @property
    @abstractmethod
    def flags(self) -> bool:
        """Whether to add the columns NAME_filled."""

    def outputs(self, columns: Sequence[Column], state: S | None = None) -> tuple[Column, ...]:
        """Declare the columns without nulls, then their flags."""
        flags = [continuous(column, nullable=False).renamed(f"{column.name}_filled") for column in columns]
        return (*(self.filled(column) for column in columns), *(flags if self.flags else []))

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: S) -> pl.LazyFrame:
        """Add the filled columns and their flags."""
        made = []
        for column in columns:
            raw = pl.col(wiring.inputs[column.name])
            dtype = POLARS[self.filled(column).dtype]
            value = pl.lit(self.value(column, state), dtype)
            made.append(raw.cast(dtype).fill_null(value).alias(wiring.outputs[column.name]))
            if self.flags:
                made.append(raw.is_null().cast(pl.Float64).alias(wiring.outputs[f"{column.name}_filled"]))
        return frame.with_columns(made)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: S
    ) -> dict[str, Value]:
        """The same with Where."""
        made = {}
        for column in columns:
            dtype = VALUES[self.filled(column).dtype]
            x = inputs[column.name]
            null = is_null(graph, x)
            same = to_float(graph, x) if dtype == "float64" else x
            made[column.name] = where(graph, null, graph.constant(self.value(column, state), dtype), same)
            if self.flags:
                yes, no = graph.constant(1.0, "float64"), graph.constant(0.0, "float64")
                made[f"{column.name}_filled"] = where(graph, null, yes, no)
        return made


class FillMissing(Fill[State]):
    """Null becomes `fill_val`; `add_binary_cols` adds NAME_filled, 1 where a value was filled in.

    Integers stay integers where `fill_val` is one; strings take a string.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"x": [1.5, None]})
        >>> Workflow(["x"] >> FillMissing(0, add_binary_cols=True)).fit(frame).transform(frame).collect().rows()
        [(1.5, 0.0), (0.0, 1.0)]
    """

    kind = "fill_missing"

    fill_val: StrictInt | StrictFloat | StrictStr = 0
    add_binary_cols: bool = False

    @field_validator("fill_val")
    @classmethod
    def _check(cls, value: float | str) -> float | str:
        if isinstance(value, int) and not INT_NULL < value < -INT_NULL:
            raise custom_error("fill_val", f"fill_val must fit 64 bits, got {value}")
        return value

    @property
    def flags(self) -> bool:
        """See `Fill`."""
        return self.add_binary_cols

    def filled(self, column: Column) -> Column:
        """See `Fill`; refuses a string for numbers and a number for strings."""
        text = isinstance(self.fill_val, str)
        if text != (column.dtype == DType.STRING):
            wanted = "a number" if text else "a string"
            raise UserError(
                f"fill_missing needs {wanted} for a column of {column.dtype.value}, got {self.fill_val!r}",
                where=f"column {column.name}",
                cure=f"give {wanted} as fill_val",
            )
        if text:
            return replace(column, nullable=self.fill_val == "")
        whole = column.dtype in SIGNED and float(self.fill_val).is_integer()
        return continuous(column, nullable=False, dtype=DType.INT64 if whole else DType.FLOAT64)

    def value(self, column: Column, state: State) -> float | int | str:
        """See `Fill`."""
        if isinstance(self.fill_val, str):
            return self.fill_val
        return int(self.fill_val) if self.filled(column).dtype == DType.INT64 else float(self.fill_val)

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.FillMissing`."""
        return nvtabular_ops().FillMissing(fill_val=self.fill_val, add_binary_cols=self.add_binary_cols)


@dataclass(frozen=True, eq=False)
class Medians(State):
    """By column: the median, and the sketch that an update tells the next one from.

    The median of a first fit is exact. One that NVTabular told comes without a sketch.
    """

    median: dict[str, float]
    sketches: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """See `State`."""
        return {"median": self.median}

    def tables(self) -> dict[str, pl.DataFrame]:
        """See `State`."""
        return dict(self.sketches)

    @classmethod
    def load(cls, value: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> Self:
        """See `State`."""
        for name, table in tables.items():
            if tuple(table.columns) != sketch.COLUMNS:
                raise ValueError(f"the sketch of {name} must have the columns {', '.join(sketch.COLUMNS)}")
        return cls(TypeAdapter(dict[str, float]).validate_python(value["median"]), dict(tables))


class FillMedian(Fill[Medians]):
    """Null becomes the median of the training rows, exactly; the mean of the two middle values when they are two.

    After an update (`Fitted.update`) each middle value is within 1/256 of what it is in all rows.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"x": [1, 2, 10, None]})
        >>> Workflow(["x"] >> FillMedian()).fit(frame).transform(frame).collect()["x"].to_list()
        [1.0, 2.0, 10.0, 2.0]
    """

    kind = "fill_median"
    state_type = Medians

    add_binary_cols: bool = False

    @property
    def flags(self) -> bool:
        """See `Fill`."""
        return self.add_binary_cols

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """The sketches, with what tells the medians."""
        values = {column.name: number(wiring, column) for column in columns}
        if wiring.collect is None:
            return Statistics(tables={name: sketch.middle(frame, x) for name, x in values.items()})
        # A plan without Python is a GPU's, which has no order to number the bins by.
        sketches = {name: sketch.sketch(frame, x) for name, x in values.items()}
        return Statistics({name: x.median() for name, x in values.items()}, sketches)

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Medians:
        """Read the medians."""
        if not collected.scalars:
            known = {name: table for name, table in collected.tables.items() if not table.is_empty()}
            found = {name: sketch.exact_median(table) for name, table in known.items()}
            return Medians({name: one[0] for name, one in found.items()}, {name: one[1] for name, one in found.items()})
        names = [column.name for column in columns if collected.scalars[column.name] is not None]
        sketches = {name: collected.tables[name].sort("low") for name in names}
        return Medians({name: float(collected.scalars[name]) for name in names}, sketches)

    def merge(self, old: Medians, new: Medians, columns: Sequence[Column]) -> Medians:
        """The median of both as their sketches tell it: within 1/256 of its value (`etl.ops.sketch`)."""
        medians, sketches = dict(old.median), dict(old.sketches)
        for name in new.median:
            if name not in old.sketches:
                raise not_to_be_continued(name)
            sketches[name] = sketch.merge(old.sketches[name], new.sketches[name])
            medians[name] = sketch.median(sketches[name])
        return Medians(medians, sketches)

    def settle(self, state: Medians) -> Medians:
        """Refuse an infinite median: of some rows alone it may be one that all rows together don't have."""
        for name, median in state.median.items():
            if not math.isfinite(median):
                raise UserError("the median is infinite", where=f"column {name}", cure="put clip before")
        return state

    def filled(self, column: Column) -> Column:
        """See `Fill`."""
        require_numbers([column], self.kind)
        return continuous(column, nullable=False)

    def value(self, column: Column, state: Medians) -> float:
        """See `Fill`."""
        return state.median[column.name]

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.FillMedian`."""
        return nvtabular_ops().FillMedian(add_binary_cols=self.add_binary_cols)
