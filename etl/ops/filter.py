"""Rows that don't fit are dropped."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import polars as pl
from pydantic import GetJsonSchemaHandler, WithJsonSchema, field_validator, model_validator
from pydantic_core import CoreSchema

from core.dataset import ROW
from core.errors import UserError
from core.schema import Column
from etl.formula.parse import parse
from etl.formula.polars import evaluate
from etl.formula.tree import names
from etl.formula.types import require_types
from etl.ops.base import Rows, State, Wiring
from etl.ops.formula import checked, operand
from etl.ops.nvt import nvtabular_ops
from etl.ops.unchanged import Unchanged

_HOLDS = "__holds__"
Rule = Callable[[Mapping[str, pl.Expr]], pl.Expr]


class Passing(Unchanged[State]):
    """Drops rows; the columns that it is applied to pass as they are.

    Every other column of the workflow loses the same rows. In serving every row passes: who asks for a score gets one.
    """

    rows = Rows.DROPPED
    takes_lists = True

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare the same columns."""
        return tuple(columns)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Drop rows, and add the columns under their new references."""
        return super().transform(self.kept(frame, columns, wiring), columns, wiring, state)

    @abstractmethod
    def kept(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> pl.LazyFrame:
        """The rows that stay."""


class Filter(Passing):
    """Keep the rows for which a formula holds (`etl.formula` has its rules); where it is null, the row goes.

    The formula may name columns beside those that the operator is applied to. In Python a function may stand in its
    place, from the columns (name -> Polars expression) to an expression; a workflow with one can't be saved.

    Args:
        f: The formula, or the function.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"price": [2.0, 3.0, None], "code": ["A1", "B2", "A3"]})
        >>> node = ["price"] >> Filter("price > 0 and starts_with(code, 'A')")
        >>> Workflow(node).fit(frame).transform(frame).collect()["price"].to_list()
        [2.0]
        >>> node = ["price"] >> Filter(lambda df: df["price"] >= 3)
        >>> Workflow(node).fit(frame).transform(frame).collect()["price"].to_list()
        [3.0]
    """

    kind = "filter"

    f: Annotated[str | Rule, WithJsonSchema({"type": "string"})]

    @model_validator(mode="before")
    @classmethod
    def _formula_alone(cls, value: Any) -> Any:
        """`filter: "price > 0"` in a config."""
        return {"f": value} if isinstance(value, str) else value

    @field_validator("f")
    @classmethod
    def _check(cls, value: str | Rule) -> str | Rule:
        if isinstance(value, str):
            checked(value)
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A string is as good as the mapping."""
        return {"anyOf": [{"type": "string"}, handler(schema)]}

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The columns of the formula."""
        return names(parse(self.f)) if isinstance(self.f, str) else ()

    def kept(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> pl.LazyFrame:
        """The rows for which the rule holds."""
        if isinstance(self.f, str):
            tree = parse(self.f)
            known = {name: wiring.columns[name] for name in names(tree)}
            require_types(tree, known, self.f)
            values = {name: operand(wiring, column) for name, column in known.items()}
            return evaluate(frame, tree, values, _HOLDS).filter(pl.col(_HOLDS) != 0).drop(_HOLDS)
        made = self.f({one.name: pl.col(wiring.inputs[one.name]) for one in columns})
        if not isinstance(made, pl.Expr):
            raise UserError(
                f"the function of a filter must give a Polars expression, got {type(made).__name__}",
                where=f"column {', '.join(one.name for one in columns)}",
                cure='write it as lambda df: df["price"] > 0',
            )
        return frame.filter(made)

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Its settings as plain values.

        Raises:
            UserError: It holds a function.
        """
        if not isinstance(self.f, str):
            cure = "write it as a formula"
            raise UserError("Filter holds Python code and can't be saved", where="operator filter", cure=cure)
        return super().model_dump(**options)

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.Filter` with the same rule over its frames of pandas or cuDF."""
        wiring = _plain(self, columns)

        def kept(frame: Any) -> Any:
            table = pl.from_arrow(frame.to_arrow()) if hasattr(frame, "to_arrow") else pl.from_pandas(frame)
            assert isinstance(table, pl.DataFrame)
            rows = self.kept(table.lazy().with_row_index(ROW), columns, wiring).select(ROW).collect()
            return frame.iloc[rows[ROW].to_numpy()]

        return nvtabular_ops().Filter(f=kept)


def _plain(operator: Filter, columns: Sequence[Column]) -> Wiring:
    """Columns under their own names, as another library's frame has them."""
    known = {column.name: column for column in columns}
    for name in operator.dependencies:
        if name not in known:
            cure = "add the column to those that the filter is applied to"
            raise UserError("NVTabular's Filter sees its own columns only", where=f"column {name}", cure=cure)
    return Wiring({name: name for name in known}, {}, columns=known)
