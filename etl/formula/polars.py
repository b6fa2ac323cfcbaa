"""Formulas in Polars. No value is NaN: what is not defined becomes null at once, as the rules of null ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

from etl.formula.parse import ONE_OF
from etl.formula.tree import Call, Name, Number, Text, Tree

Expr = pl.Expr


def evaluate(frame: pl.LazyFrame, tree: Tree, columns: Mapping[str, pl.Expr], name: str) -> pl.LazyFrame:
    """Add the value of a formula to a frame.

    Args:
        frame: Has what the columns are made of.
        tree: What `parse` gave.
        columns: By name, as float64 without NaN, or as strings.
        name: Of the column to add.

    Example:
        >>> from etl.formula.parse import parse
        >>> frame = pl.LazyFrame({"a": [1.0, 0.0, None]})
        >>> evaluate(frame, parse("a / a"), {"a": pl.col("a")}, "b").collect()["b"].to_list()
        [1.0, None, None]
    """
    values: dict[Tree, Expr] = {}
    made: list[str] = []
    for stage in _stages(tree):
        calls = [one for one in stage if isinstance(one, Call)]
        values |= {one: _leaf(one, columns) for one in stage if not isinstance(one, Call)}
        # Each value becomes a column: written as one expression, what reads a value twice would compute it twice,
        # and all below it too.
        places = [f"{name}@formula{len(made) + index}" for index in range(len(calls))]
        new = [_clean(FUNCTIONS[one.function](*(values[argument] for argument in one.arguments))) for one in calls]
        frame = frame.with_columns(value.alias(place) for value, place in zip(new, places, strict=True))
        values |= {one: pl.col(place) for one, place in zip(calls, places, strict=True)}
        made += places
    return frame.with_columns(_clean(values[tree]).alias(name)).drop(made)


def _stages(tree: Tree) -> list[list[Tree]]:
    """Every distinct part of a formula, each after those that it is made of."""
    heights: dict[Tree, int] = {}

    def height(one: Tree) -> int:
        if one not in heights:
            arguments = one.arguments if isinstance(one, Call) else ()
            heights[one] = 1 + max((height(argument) for argument in arguments), default=-1)
        return heights[one]

    stages: list[list[Tree]] = [[] for _ in range(height(tree) + 1)]
    for one, place in heights.items():
        stages[place].append(one)
    return stages


def _leaf(tree: Tree, columns: Mapping[str, pl.Expr]) -> Expr:
    if isinstance(tree, Name):
        return columns[tree.name]
    assert isinstance(tree, Number | Text)
    return pl.lit(tree.value, pl.Float64 if isinstance(tree, Number) else pl.String)


def _clean(value: Expr) -> Expr:
    return value.cast(pl.Float64).fill_nan(None)


def _divide(x: Expr, y: Expr) -> Expr:
    """X / y, correctly rounded, as every other engine gives it.

    Polars divides a column by a constant through the constant's reciprocal, which makes 49 / 49 a little less
    than 1 and 49 // 49 zero. A constant becomes a column, by which it divides as it should, when it is added to one.
    """
    zero = x.is_null().cast(pl.Float64) * 0.0
    return x / (y + zero)


def _truth(x: Expr) -> Expr:
    return (x != 0.0).cast(pl.Float64)


def _or(x: Expr, y: Expr) -> Expr:
    return 1.0 - (1.0 - _truth(x)) * (1.0 - _truth(y))


def _both(x: Expr, y: Expr, chosen: Expr) -> Expr:
    """`chosen` where both are known."""
    return pl.when(x.is_not_null() & y.is_not_null()).then(chosen)


def _smaller(x: Expr, y: Expr) -> Expr:
    return _both(x, y, pl.when(x <= y).then(x).otherwise(y))


def _larger(x: Expr, y: Expr) -> Expr:
    return _both(x, y, pl.when(x >= y).then(x).otherwise(y))


FUNCTIONS: dict[str, Callable[..., Expr]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": _divide,
    "floordiv": lambda x, y: _divide(x, y).floor(),
    "mod": lambda x, y: x - _divide(x, y).floor() * y,
    "pow": lambda x, y: _both(x, y, x**y),
    "neg": lambda x: -x,
    "not": lambda x: 1.0 - _truth(x),
    "and": lambda x, y: _truth(x) * _truth(y),
    "or": _or,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y,
    "abs": lambda x: x.abs(),
    "ceil": lambda x: x.ceil(),
    "exp": lambda x: x.exp(),
    "floor": lambda x: x.floor(),
    "log": lambda x: x.log(),
    "log1p": lambda x: (1.0 + x).log(),
    "sqrt": lambda x: x.sqrt(),
    "min": _smaller,
    "max": _larger,
    "is_null": lambda x: x.is_null(),
    ONE_OF: lambda x, *texts: pl.any_horizontal(x == text for text in texts),
    "contains": lambda x, text: x.str.contains(text, literal=True),
    "ends_with": lambda x, text: x.str.ends_with(text),
    "starts_with": lambda x, text: x.str.starts_with(text),
    "fill_null": lambda x, y: x.fill_null(y),
    "where": lambda condition, x, y: pl.when(condition != 0.0).then(x).otherwise(y),
}
"""One entry for every function and operator of a formula."""
