"""Columns of lists, on every engine. A null list counts as an empty one.

The CPU computes on the elements in place (`list.eval`). GPU plans can't look into lists, and taking the elements out
would lose the difference between an empty list and one null; so the host computes them there, and they are joined by
the number of the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from core.schema import Column, DType
from etl.types import POLARS, TIMES, canonical, canonical_dtype, clean, dtype_of, polars_type

if TYPE_CHECKING:
    from etl.ops.base import Wiring


def add_lists(frame: pl.LazyFrame, made: Mapping[str, pl.Expr], wiring: Wiring) -> pl.LazyFrame:
    """Add columns that are made of lists.

    Args:
        frame: Holds `wiring.inputs`, and `wiring.row` where the plan can't hold Python.
        made: Plain name of an output -> expression over the inputs.
        wiring: Where they lie.
    """
    if not made:
        return frame
    finals = [value.alias(wiring.outputs[name]) for name, value in made.items()]
    if wiring.collect is None:
        return frame.with_columns(finals)
    sources = sorted({name for value in finals for name in value.meta.root_names() if name})
    # What makes other rows (groupby) leaves no numbers behind; then the host takes its whole table.
    numbered = wiring.row in frame.collect_schema()
    held = wiring.collect([frame.select(wiring.row, *sources) if numbered else frame])[0]
    typed = [_typed(held[place], wiring.columns[name]) for name, place in wiring.inputs.items() if place in sources]
    if not numbered:
        return held.with_columns(typed).with_columns(finals).lazy()
    row = f"{wiring.row}!"
    table = held.with_columns(typed).select(pl.col(wiring.row).alias(row), *finals)
    return frame.join(table.lazy(), left_on=wiring.row, right_on=row, how="left", maintain_order="none")


def add_from_texts(frame: pl.LazyFrame, source: str, made: Mapping[str, pl.Expr], wiring: Wiring) -> pl.LazyFrame:
    """Add columns that are made of one column of strings, with operations that a GPU plan lacks.

    There the host works on the distinct strings, and what it makes of them is joined.

    Args:
        frame: Holds the column `source`.
        source: Where the strings lie.
        made: Plain name of an output -> expression over `source`.
        wiring: Where the outputs shall lie.
    """
    finals = [value.alias(wiring.outputs[name]) for name, value in made.items()]
    if wiring.collect is None:
        return frame.with_columns(finals)
    distinct = wiring.collect([frame.select(source).unique()])[0]
    key = f"{source}!text"
    table = distinct.select(pl.col(source).alias(key), *finals)
    return frame.join(table.lazy(), left_on=source, right_on=key, how="left", nulls_equal=True, maintain_order="none")


def pass_on(frame: pl.LazyFrame, columns: Sequence[Column], outputs: Mapping[str, str], wiring: Wiring) -> pl.LazyFrame:
    """Add columns as they are.

    Args:
        frame: Holds them.
        columns: Which ones; others of `outputs` are left alone.
        outputs: Plain name of a column -> plain name of the output.
        wiring: Where they lie.
    """
    chosen = [column for column in columns if column.name in outputs]
    singles = [
        pl.col(wiring.inputs[column.name]).alias(wiring.outputs[outputs[column.name]])
        for column in chosen
        if not column.is_list
    ]
    lists = [column for column in chosen if column.is_list]
    made = {outputs[one.name]: elements(pl.col(wiring.inputs[one.name]), one) for one in lists}
    return add_lists(frame.with_columns(singles), made, wiring)


def exploded(frame: pl.LazyFrame, source: str, wiring: Wiring) -> pl.LazyFrame:
    """The elements of a list column one below the other, as the column `source` alone.

    A null list gives a null, and so does an empty one.
    """
    flat = frame.select(source).explode(source, empty_as_null=True)
    if wiring.collect is None:
        return flat
    # A GPU plan can't cast lists, but their elements.
    dtype = dtype_of(flat.collect_schema()[source], source)
    return flat.select(pl.col(source).cast(pl.Datetime("us")) if dtype in TIMES else source).select(
        pl.col(source).cast(POLARS[canonical_dtype(dtype)])
    )


def _typed(values: pl.Series, column: Column) -> pl.Series:
    """Lists with the type that operators see."""
    if not column.is_list or values.dtype == polars_type(column):
        return values
    dtype = column.dtype if values.dtype == pl.List(pl.Null) else dtype_of(values.dtype, column.name)
    return values.to_frame().select(canonical(values.name, dtype, is_list=True)).to_series()


def elements(x: pl.Expr, column: Column) -> pl.Expr:
    """A list column as operators see it: values that stand for null are null, and no list is.

    Example:
        >>> frame = pl.DataFrame({"x": [[1.5, float("nan")], None]})
        >>> frame.select(elements(pl.col("x"), Column("x", DType.FLOAT64, is_list=True)))["x"].to_list()
        [[1.5, None], []]
    """
    raw = column.dtype in {DType.INT64, DType.FLOAT64, DType.STRING}
    return filled(x.list.eval(clean(pl.element(), column.dtype)) if raw else x, column)


def filled(x: pl.Expr, column: Column) -> pl.Expr:
    """Lists of this column's type; an empty one where there is none."""
    return x.fill_null(pl.lit([], polars_type(column)))
