"""From values to ids: one helper that hides how a vocabulary is looked up."""

from __future__ import annotations

import polars as pl

from etl.values.probing import Positions

SMALL = 300_000
"""Largest vocabulary that is written into a plan without Python; larger ones are joined. Measured on 1M rows x 26
columns: up to about here `replace_strict` is as fast as a join."""
SMALL_TEXT = 2_000
"""The same for texts in a plan that may hold Python; larger ones are probed (`etl.values.probing`), integers always.
Batches would rather have 20,000, but `replace_strict` hashes the vocabulary again for each call of an online caller."""


def add_ids(
    frame: pl.LazyFrame, key: str, values: pl.Series, output: str, *, first: int, unknown: int, ordered: bool
) -> pl.LazyFrame:
    """Add the column `output`, Int32: `first` + position of the key among `values`, or `unknown`; no Python is in it.

    Args:
        frame: Holds the column `key`.
        key: Name of the column to look up; null is unknown.
        values: Distinct values of the same type (Int64 or String), none of them null, the most frequent first.
        output: Name of the new column.
        first: Id of the first value.
        unknown: Id of all other keys.
        ordered: Keep the order of rows.

    Example:
        >>> frame = pl.LazyFrame({"k": ["b", "z", None]})
        >>> add_ids(frame, "k", pl.Series(["a", "b"]), "id", first=3, unknown=2, ordered=True).collect()["id"].to_list()
        [4, 2, 2]
    """
    if len(values) <= SMALL:
        return frame.with_columns(_replaced(pl.col(key), values, first, unknown).alias(output))
    ids = pl.int_range(first, first + len(values), dtype=pl.Int32, eager=True)
    value = f"{output}!value"
    table = pl.LazyFrame({value: values, output: ids})
    joined = frame.join(table, left_on=key, right_on=value, how="left", maintain_order="left" if ordered else "none")
    return joined.with_columns(pl.col(output).fill_null(unknown))


def found(key: pl.Expr, values: pl.Series, *, first: int, unknown: int, null: int) -> pl.Expr:
    """The same as an expression, for plans that may hold Python; `null` is the id of null.

    One expression, so that a plan holds no column between the key and the id.

    Example:
        >>> frame = pl.DataFrame({"k": [["b", "z", None], []]})
        >>> look = found(pl.element(), pl.Series(["a", "b"]), first=3, unknown=2, null=1)
        >>> frame.select(pl.col("k").list.eval(look))["k"].to_list()
        [[4, 2, 1], []]
    """
    if values.dtype != pl.String or len(values) > SMALL_TEXT:
        find = Positions(values, first=first, unknown=unknown, null=null)
        return key.map_batches(find, return_dtype=pl.Int32, is_elementwise=True)
    return pl.when(key.is_null()).then(pl.lit(null, pl.Int32)).otherwise(_replaced(key, values, first, unknown))


def _replaced(key: pl.Expr, values: pl.Series, first: int, unknown: int) -> pl.Expr:
    other = pl.lit(unknown, pl.Int32)
    if values.is_empty():
        return other
    ids = pl.int_range(first, first + len(values), dtype=pl.Int32, eager=True)
    return key.replace_strict(values, ids, default=other, return_dtype=pl.Int32)
