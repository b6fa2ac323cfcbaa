"""Formulas in Polars. No value is NaN: what is not defined becomes null at once, as the rules of null ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

from etl.formula.parse import Name, Number, Tree

Expr = pl.Expr


def to_polars(tree: Tree, columns: Mapping[str, pl.Expr]) -> pl.Expr:
    """The formula as an expression.

    Args:
        tree: What `parse` gave.
        columns: By name, as float64 without NaN.

    Example:
        >>> from etl.formula.parse import parse
        >>> frame = pl.DataFrame({"a": [1.0, 0.0, None]})
        >>> frame.select(to_polars(parse("a / a"), {"a": pl.col("a")}))["a"].to_list()
        [1.0, None, None]
    """
    if isinstance(tree, Number):
        return pl.lit(tree.value, pl.Float64)
    if isinstance(tree, Name):
        return columns[tree.name]
    arguments = [to_polars(argument, columns) for argument in tree.arguments]
    return FUNCTIONS[tree.function](*arguments).cast(pl.Float64).fill_nan(None)


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
    "fill_null": lambda x, y: x.fill_null(y),
    "where": lambda condition, x, y: pl.when(condition != 0.0).then(x).otherwise(y),
}
"""One entry for every function and operator of a formula."""
