"""What changed since the row before, of the same key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Self

import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from core.schema import Column, DType
from core.spec import custom_error, listed
from etl.ops.base import State, Wiring
from etl.ops.declare import continuous, require_numbers
from etl.ops.keyed import places
from etl.ops.nvt import nvtabular_ops
from etl.ops.windows.base import ROW, TIME, Window, Windowed
from etl.ops.windows.clock import bounded


class DifferenceLag(Windowed[State]):
    """x - (x some rows before), among the rows with the same `partition_cols`; null where there is no such row.

    Rows follow one another in order of `time`, and as they stand where times are equal; without `time` as they stand.
    NVTabular wants them sorted by partition and time beforehand; here they may lie anywhere. Outputs are called
    COLUMN_difference_lag_SHIFT. A negative shift looks at a later row, which nobody knows when the score is asked
    for, so it has to be allowed by `future`.

    Args:
        partition_cols: Whose rows: one or several columns.
        shift: How many rows to look back; or several of them.
        time: What orders the rows; by default they are taken as they stand.
        future: Allow negative shifts.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"user": [1, 2, 1, 1], "at": [10, 11, 30, 35]})
        >>> Workflow(["at"] >> DifferenceLag("user")).fit(frame).transform(frame).collect().to_series().to_list()
        [None, None, 20.0, 5.0]
    """

    kind = "difference_lag"

    partition_cols: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(listed)]
    shift: Annotated[tuple[int, ...], Field(min_length=1), BeforeValidator(listed)] = (1,)
    time: str | None = None
    future: bool = False

    @model_validator(mode="after")
    def _earlier(self) -> Self:
        for shift in self.shift:
            if shift == 0:
                raise custom_error("shift", "shift must not be 0: a row does not differ from itself")
            if shift < 0 and not self.future:
                told = f"shift {shift} looks at a later row, which leaks the future; if that is meant, set future: true"
                raise custom_error("shift", told)
        return self

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The keys, and the time if there is one."""
        return (*self.partition_cols, *([self.time] if self.time else []))

    @property
    def owners(self) -> tuple[str, ...]:
        """See `Windowed`."""
        return self.partition_cols

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare a continuous number for each column and shift."""
        require_numbers(columns, self.kind)
        return tuple(
            continuous(column, nullable=True).renamed(_name(column, shift))
            for column in columns
            for shift in self.shift
        )

    def windows(self, columns: Sequence[Column], wiring: Wiring, state: State) -> Iterator[Window]:
        """Differences to shifted values, within each key."""
        values = {f"x{index}": pl.col(wiring.inputs[column.name]) for index, column in enumerate(columns)}
        keys = places(len(self.partition_cols))
        made = {
            _name(column, shift): _difference(name, column, shift, keys)
            for name, column in zip(values, columns, strict=True)
            for shift in self.shift
        }
        time = bounded(wiring, self.time) if self.time else None
        make = partial(self._differences, made=made)
        yield Window(self.partition_cols, time, values, make, {name: pl.col(name) for name in made})

    def _differences(self, found: pl.LazyFrame, made: Mapping[str, pl.Expr]) -> pl.LazyFrame:
        ordered = found.sort(TIME, ROW) if self.time else found.sort(ROW)
        return ordered.select(ROW, *(value.alias(name) for name, value in made.items()))

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.DifferenceLag`."""
        return nvtabular_ops().DifferenceLag(list(self.partition_cols), list(self.shift))


def _name(column: Column, shift: int) -> str:
    return f"{column.name}_difference_lag_{shift}"


def _difference(name: str, column: Column, shift: int, keys: Sequence[str]) -> pl.Expr:
    """Whole numbers are taken from one another before they become floats, which is exact."""
    x = pl.col(name).cast(pl.Float64 if column.dtype == DType.FLOAT64 else pl.Int64)
    difference = (x - pl.col(name).shift(shift).over(keys)).cast(pl.Float64)
    # Infinite less infinite is no number.
    return difference.fill_nan(None)
