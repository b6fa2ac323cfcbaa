"""Columns of lists, on every engine.

The CPU computes on the elements in place (`list.eval`). GPU plans can't look into lists, and taking the elements out
would lose the difference between an empty list and one null; so the host computes them there, and they are joined by
the number of the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from etl.ops.base import Wiring


def add_lists(frame: pl.LazyFrame, made: Mapping[str, pl.Expr], wiring: Wiring) -> pl.LazyFrame:
    """Add columns that are made of lists (or that make lists).

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
    held = wiring.collect([frame.select(wiring.row, *sources)])[0]
    row = f"{wiring.row}!"
    table = held.select(pl.col(wiring.row).alias(row), *finals)
    return frame.join(table.lazy(), left_on=wiring.row, right_on=row, how="left", maintain_order="none")
