"""Rows without a value are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from core.schema import Column
from etl.ops.base import Wiring
from etl.ops.filter import Passing
from etl.ops.nvt import nvtabular_ops


class Dropna(Passing):
    """Keep the rows that have a value in every column that it is applied to.

    What stands for null is null too: NaN, the smallest int64, the empty string. An empty list is a value. The columns
    stay nullable, since serving lets every row pass.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"user": ["a", "", None], "item": [1, 2, 3]})
        >>> Workflow(["user", "item"] >> Dropna()).fit(frame).transform(frame).collect().rows()
        [('a', 1)]
    """

    kind = "dropna"

    def kept(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> pl.LazyFrame:
        """The rows in which every column has a value."""
        return frame.filter(pl.all_horizontal(pl.col(wiring.inputs[one.name]).is_not_null() for one in columns))

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.Dropna`."""
        return nvtabular_ops().Dropna()
