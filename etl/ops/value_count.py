"""How long lists are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import polars as pl

from core.schema import Column
from etl.ops.base import Collected, State, Statistics, Wiring
from etl.ops.declare import require_lists
from etl.ops.nvt import nvtabular_ops
from etl.ops.unchanged import Unchanged


@dataclass(frozen=True)
class Lengths(State):
    """By column: the smallest and the largest number of elements."""

    least: Mapping[str, int]
    most: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """See `State`."""
        return asdict(self)


class ValueCount(Unchanged[Lengths]):
    """Find the smallest and the largest number of elements; the lists stay as they are.

    They become the property `value_count` of the column. A null list counts as an empty one.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"genres": [["Comedy"], ["Drama", "War"]]})
        >>> Workflow(["genres"] >> ValueCount()).fit(frame).schema["genres"].properties
        {'value_count': {'min': 1, 'max': 2}}
    """

    kind = "value_count"
    state_type = Lengths
    takes_lists = True

    def outputs(self, columns: Sequence[Column], state: Lengths | None = None) -> tuple[Column, ...]:
        """Declare the same lists; a fit tells how long they are."""
        require_lists(columns, self.kind)
        return tuple(self._declared(column, state) for column in columns)

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """Smallest and largest length."""
        places = {column.name: wiring.inputs[column.name] for column in columns}
        if wiring.collect is not None:
            # A GPU plan can't see how long a list is.
            return Statistics(tables={name: frame.select(pl.col(place).alias(name)) for name, place in places.items()})
        scalars: dict[str, pl.Expr] = {}
        for name, place in places.items():
            size = pl.col(place).list.len().fill_null(0)
            scalars |= {f"{name}:least": size.min(), f"{name}:most": size.max()}
        return Statistics(scalars)

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Lengths:
        """Keep them."""
        found = {column.name: self._found(collected, column.name) for column in columns}
        known = {name: one for name, one in found.items() if one[0] is not None}
        return Lengths({name: one[0] for name, one in known.items()}, {name: one[1] for name, one in known.items()})

    def merge(self, old: Lengths, new: Lengths, columns: Sequence[Column]) -> Lengths:
        """The smaller and the larger one."""
        least = {name: min(one, new.least.get(name, one)) for name, one in old.least.items()}
        return Lengths(least, {name: max(one, new.most.get(name, one)) for name, one in old.most.items()})

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.ValueCount`."""
        return nvtabular_ops().ValueCount()

    def _found(self, collected: Collected, name: str) -> tuple[Any, Any]:
        if name in collected.tables:
            size = collected.tables[name][name].list.len().fill_null(0)
            return size.min(), size.max()
        return collected.scalars[f"{name}:least"], collected.scalars[f"{name}:most"]

    def _declared(self, column: Column, state: Lengths | None) -> Column:
        count = {"min": 0} if state is None else {"min": state.least[column.name], "max": state.most[column.name]}
        return replace(column, nullable=False, properties={**column.properties, "value_count": count})
