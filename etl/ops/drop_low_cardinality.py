"""Leave out columns of ids that tell few values apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from core.schema import Column, Tag
from etl.ops.base import State
from etl.ops.nvt import nvtabular_ops
from etl.ops.unchanged import Unchanged


class DropLowCardinality(Unchanged[State]):
    """Drop categorical columns whose largest id is below `min_cardinality`; other columns stay.

    The cardinality is what `categorify` learned, its reserved ids (0 padding, 1 null, 2 out of vocabulary)
    included, and the rule is NVTabular's: with the default of 4 a column needs two values besides those. Which
    columns go is known after the fit, so nothing can follow that reads a column which may go.

    Example:
        >>> import polars as pl
        >>> from etl import Workflow
        >>> from etl.ops import Categorify
        >>> frame = pl.DataFrame({"one": ["a", "a", "a"], "two": ["a", "b", "a"]})
        >>> node = ["one", "two"] >> Categorify() >> DropLowCardinality()
        >>> Workflow(node).fit(frame).schema.names
        ('two',)
    """

    kind = "drop_low_cardinality"
    drops_columns = True
    takes_lists = True

    min_cardinality: int = Field(default=4, ge=0)

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare the columns that stay; before the fit, those whose cardinality isn't known."""
        return tuple(column for column in columns if self._stays(column))

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.DropLowCardinality`."""
        return nvtabular_ops().DropLowCardinality(min_cardinality=self.min_cardinality)

    def _stays(self, column: Column) -> bool:
        known = Tag.CATEGORICAL in column.tags and column.cardinality is not None
        return not known or (column.cardinality or 0) > self.min_cardinality
