"""Other names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import polars as pl
from pydantic import Field, model_validator

from core.errors import UserError
from core.schema import Column
from core.spec import custom_error
from etl.lists import pass_on
from etl.onnx import GraphBuilder, Value
from etl.ops.base import Operator, State, Wiring
from etl.ops.nvt import nvtabular_ops


class Rename(Operator[State]):
    """Give one column another name, or every column a postfix; values and tags stay.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"a": [1]})
        >>> Workflow(["a"] >> Rename(postfix="_raw")).fit(frame).transform(frame).collect().columns
        ['a_raw']
    """

    kind = "rename"
    takes_lists = True

    name: str | None = Field(default=None, min_length=1)
    postfix: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.name is None) == (self.postfix is None):
            raise custom_error("rename", "give either name (for one column) or postfix")
        return self

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare the columns under their new names."""
        if self.name is not None and len(columns) != 1:
            names = ", ".join(column.name for column in columns)
            raise UserError(
                f"rename can't call {len(columns)} columns {self.name}", where=f"column {names}", cure="use postfix"
            )
        return tuple(column.renamed(self._new(column.name)) for column in columns)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Add the same values under new names."""
        return pass_on(frame, columns, {column.name: self._new(column.name) for column in columns}, wiring)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """The same values under new names."""
        return {self._new(column.name): inputs[column.name] for column in columns}

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.Rename`."""
        return nvtabular_ops().Rename(name=self.name, postfix=self.postfix)

    def _new(self, name: str) -> str:
        return self.name if self.name is not None else f"{name}{self.postfix}"
