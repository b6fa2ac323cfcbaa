"""Other names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import polars as pl
from pydantic import Field, PlainValidator, WithJsonSchema, field_serializer, model_validator

from core.errors import UserError
from core.schema import Column
from core.spec import custom_error
from etl.onnx import GraphBuilder, Value
from etl.ops.amounts import require_known
from etl.ops.base import Operator, State, Wiring
from etl.ops.nvt import nvtabular_ops
from etl.values.lists import pass_on


@dataclass(frozen=True)
class _Recorded:
    """A function over names that remembers what it gave, so that its results can be saved in its place."""

    f: Callable[[str], Any]
    made: dict[str, str] = field(default_factory=dict, compare=False)

    def __call__(self, name: str) -> str:
        new = self.f(name)
        if not isinstance(new, str) or not new:
            raise UserError(f"the function of rename must give a name, got {new!r}", where=f"column {name}")
        self.made[name] = new
        return str(new)


def _recorded(value: Any) -> _Recorded | None:
    if value is None or isinstance(value, _Recorded):
        return value
    if not callable(value):
        raise custom_error("rename_f", "must be a function from a name to a name; in a config use names")
    return _Recorded(value)


class Rename(Operator[State]):
    """Give columns other names; values and tags stay.

    Args:
        f: A function from a name to a name, from Python; a saved workflow keeps what it gave, as `names`.
        postfix: What to add to every name.
        name: The new name, of a single column.
        names: Old name -> new name; other columns keep theirs.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"a": [1], "b": [2]})
        >>> Workflow(["a", "b"] >> Rename(postfix="_raw")).fit(frame).transform(frame).collect().columns
        ['a_raw', 'b_raw']
        >>> Workflow(["a", "b"] >> Rename(str.upper)).fit(frame).transform(frame).collect().columns
        ['A', 'B']
    """

    kind = "rename"
    takes_lists = True

    f: Annotated[Any, PlainValidator(_recorded), WithJsonSchema({"type": "null"})] = Field(default=None, exclude=True)
    postfix: str | None = Field(default=None, min_length=1)
    name: str | None = Field(default=None, min_length=1)
    names: dict[str, Annotated[str, Field(min_length=1)]] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(one is not None for one in (self.f, self.postfix, self.name, self.names)) != 1:
            raise custom_error("rename", "give either name (for one column), names, postfix or, in Python, f")
        return self

    @field_serializer("names")
    def _results(self, names: dict[str, str] | None) -> dict[str, str] | None:
        return names if self.f is None else dict(self.f.made)

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare the columns under their new names."""
        if self.name is not None and len(columns) != 1:
            names = ", ".join(column.name for column in columns)
            raise UserError(
                f"rename can't call {len(columns)} columns {self.name}", where=f"column {names}", cure="use postfix"
            )
        if state is None:
            require_known(self.names, [column.name for column in columns], "names of rename")
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
        if self.f is not None or self.names is not None:
            return nvtabular_ops().Rename(f=self._new)
        return nvtabular_ops().Rename(name=self.name, postfix=self.postfix)

    def _new(self, name: str) -> str:
        if self.f is not None:
            new: str = self.f(name)
            return new
        if self.names is not None:
            return self.names.get(name, name)
        return self.name if self.name is not None else f"{name}{self.postfix}"
