"""A column computed from others by a formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import polars as pl
from pydantic import Field, field_validator

from core.errors import UserError
from core.schema import Column, DType
from core.spec import custom_error
from core.suggest import did_you_mean
from etl.formula.onnx import to_onnx
from etl.formula.parse import TESTS, parse
from etl.formula.polars import evaluate
from etl.formula.tree import Tree, functions, names
from etl.formula.types import require_types
from etl.onnx import GraphBuilder, Value, to_float
from etl.ops.base import Operator, State, Wiring
from etl.ops.declare import continuous
from etl.ops.elementwise import number


class Formula(Operator[State]):
    """One new column from a formula over the inputs, in float64; `etl.formula` has its rules.

    Operators + - * / // % ** < <= > >= == != and or not, `a if c else b`, and the functions of
    `etl.formula.parse.FUNCTIONS`; columns of strings by == != and in. It is parsed by us and never evaluated by
    Python.

    Args:
        formula: The text; `column("a b")` names a column that is no word.
        name: Name of the new column.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"a": [0.0, 1.0], "b": [2, 0]})
        >>> node = ["a", "b"] >> Formula("log(1 + a) / b", "ratio")
        >>> Workflow(node).fit(frame).transform(frame).collect().rows(named=True)
        [{'ratio': 0.0}, {'ratio': inf}]
    """

    kind = "expression"
    columnwise = False

    formula: str
    name: str = Field(min_length=1)

    @field_validator("formula")
    @classmethod
    def _check(cls, value: str) -> str:
        tree = checked(value)
        inside = functions(tree).intersection(TESTS)
        if inside:
            told = "can be used in filters only, since a served graph compares whole texts; list the values: x in [...]"
            raise custom_error("formula", f"{min(inside)} {told}")
        return value

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare one continuous column; it belongs to the user or the item when every input does."""
        given = {column.name: column for column in columns}
        used = names(parse(self.formula))
        for name in used:
            if name not in given:
                told = f"the formula {self.formula!r} names a column that the feature does not list"
                raise UserError(told, where=f"column {name}", cure=did_you_mean(name, given))
        for name in given:
            if name not in used:
                told = f"the formula {self.formula!r} does not use the column"
                raise UserError(told, where=f"column {name}", cure="leave it out of the feature's columns")
        require_types(parse(self.formula), given, self.formula)
        tags = reduce(frozenset.intersection, (column.tags for column in columns))
        return (continuous(Column(self.name, columns[0].dtype, tags), nullable=True),)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Add the column."""
        values = {column.name: operand(wiring, column) for column in columns}
        return evaluate(frame, parse(self.formula), values, wiring.outputs[self.name])

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """Add its nodes."""
        values = {
            column.name: inputs[column.name] if column.dtype == DType.STRING else to_float(graph, inputs[column.name])
            for column in columns
        }
        return {self.name: to_onnx(graph, parse(self.formula), values)}

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """Refuse: NVTabular has no operator for formulas."""
        raise UserError(
            "NVTabular has no operator for formulas",
            where=f"column {self.name}",
            cure="use another engine, or compute the column in the data",
        )


def operand(wiring: Wiring, column: Column) -> pl.Expr:
    """A column as a formula reads it: a string, or float64."""
    return pl.col(wiring.inputs[column.name]) if column.dtype == DType.STRING else number(wiring, column)


def checked(text: str) -> Tree:
    """A formula of the settings of an operator, parsed; a validator's error where it is none, or names no column."""
    try:
        tree = parse(text)
    except UserError as error:
        raise custom_error("formula", str(error)) from None
    if not names(tree):
        raise custom_error("formula", "the formula names no column")
    return tree
