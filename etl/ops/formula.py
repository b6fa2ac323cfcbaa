"""A column computed from others by a formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import polars as pl
from pydantic import Field, field_validator

from core.errors import UserError
from core.schema import Column, DType, Tag
from core.spec import custom_error
from etl.formula.onnx import to_onnx
from etl.formula.parse import TESTS, parse
from etl.formula.polars import evaluate
from etl.formula.tree import Tree, functions, names
from etl.formula.types import require_types
from etl.onnx import GraphBuilder, Value, to_float
from etl.ops.base import Operator, State, Wiring
from etl.ops.declare import continuous
from etl.ops.elementwise import number

SIDES = frozenset({Tag.USER, Tag.ITEM})


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

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Every column of the formula; those that it is applied to need not be all."""
        return names(parse(self.formula))

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare one continuous column; it belongs to the user or the item when every input does."""
        given, tree = {column.name: column for column in columns}, parse(self.formula)
        used = names(tree)
        for name in given:
            if name not in used:
                told = f"the formula {self.formula!r} does not use the column"
                raise UserError(told, where=f"column {name}", cure="leave it out of the feature's columns")
        if len(used) == len(given):
            require_types(tree, given, self.formula)
        tags = reduce(frozenset.intersection, (column.tags for column in columns))
        # What it reads beside its columns may belong to any side.
        own = tags if len(used) == len(given) else tags - SIDES
        return (continuous(Column(self.name, columns[0].dtype, own), nullable=True),)

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Add the column."""
        tree = parse(self.formula)
        known = {name: wiring.columns[name] for name in names(tree)}
        require_types(tree, known, self.formula)
        values = {name: operand(wiring, column) for name, column in known.items()}
        return evaluate(frame, tree, values, wiring.outputs[self.name])

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: State
    ) -> dict[str, Value]:
        """Add its nodes."""
        used = names(parse(self.formula))
        values = {
            name: inputs[name] if inputs[name].dtype == "string" else to_float(graph, inputs[name]) for name in used
        }
        return {self.name: to_onnx(graph, parse(self.formula), values)}


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
