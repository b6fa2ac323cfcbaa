"""One row a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args

import polars as pl
from pydantic import BeforeValidator

from core.errors import UserError
from core.schema import Column, DType
from core.suggest import did_you_mean
from etl.ops.base import Operator, Rows, Serving, State, Wiring
from etl.ops.declare import continuous, require_numbers
from etl.ops.keyed import AnyNames, Names
from etl.ops.nvt import nvtabular_ops
from etl.types import FLOATS, POLARS

Aggregation = Literal["count", "nunique", "sum", "mean", "std", "var", "median", "min", "max", "first", "last", "list"]
_COUNTS = frozenset({"count", "nunique"})
_MOMENTS = frozenset({"sum", "mean", "std", "var", "median"})
_FEW = frozenset({"std", "var"})


def _listed(value: Any) -> Any:
    """One aggregation as a list; the type `list` as its name, as NVTabular takes it."""
    if isinstance(value, str) or value is list:
        value = (value,)
    return tuple("list" if one is list else one for one in value) if isinstance(value, list | tuple) else value


def _by_column(value: Any) -> Any:
    return {name: _listed(one) for name, one in value.items()} if isinstance(value, Mapping) else _listed(value)


Aggregations = tuple[Aggregation, ...]


class Groupby(Operator[State]):
    """Group rows by keys: one row a group, ordered by key, with what is aggregated of the other columns.

    Rows whose key is null belong to no group. `count` and `nunique` count values, not nulls; `std` and `var` are
    those of a sample (ddof 1), null for a single value; `first`, `last` and `list` take rows in the order of
    `sort_cols`, nulls last, ties as the rows lie. What follows has the groups as its rows; a config's features must
    leave the rows as they are, so this one is for Python.

    Args:
        groupby_cols: The keys, among the columns.
        sort_cols: The order of the rows of a group; as they lie by default.
        aggs: What to aggregate: names, for every column that is no key, or column -> names.
        name_sep: Between the name of the column and that of the aggregation.
        ascending: Lists are in this order; `first` and `last` are those of the ascending order always.

    Example:
        >>> from etl import Workflow
        >>> clicks = pl.DataFrame({"session": [2, 1, 2], "item": ["a", "b", "c"], "time": [9, 5, 3]})
        >>> node = ["session", "item", "time"] >> Groupby("session", "time", {"item": ["list", "count"]}, "-")
        >>> made = Workflow(node).fit(clicks).transform(clicks).collect()
        >>> made.columns, made.rows()
        (['session', 'item-list', 'item-count'], [(1, ['b'], 1.0), (2, ['c', 'a'], 2.0)])
    """

    kind = "groupby"
    columnwise = False
    numbered = True
    rows = Rows.REGROUPED
    serving = Serving.NEVER

    groupby_cols: Names
    sort_cols: AnyNames = ()
    aggs: Annotated[dict[str, Aggregations] | Aggregations, BeforeValidator(_by_column)] = ("list",)
    name_sep: str = "_"
    ascending: bool = True

    @property
    def dependencies(self) -> tuple[str, ...]:
        """What rows are sorted by."""
        return self.sort_cols

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare the keys, then each aggregation of each column."""
        known = {column.name: column for column in columns}
        for name in self.groupby_cols:
            if name not in known:
                told = "groupby is to group by a column that it is not applied to"
                raise UserError(told, where=f"column {name}", cure=f"add it; {did_you_mean(name, known)}")
        keys = [replace(known[name], nullable=False) for name in self.groupby_cols]
        made = (_declare(column, kind).renamed(self._name(column, kind)) for column, kind in self._asked(columns))
        return (*keys, *made)

    def _asked(self, columns: Sequence[Column]) -> Iterator[tuple[Column, str]]:
        """Each column with each of its aggregations, in order."""
        values = {column.name: column for column in columns if column.name not in self.groupby_cols}
        if isinstance(self.aggs, dict):
            for name in self.aggs:
                if name not in values:
                    told = f"groupby is to aggregate a {'key' if name in self.groupby_cols else 'column it has not'}"
                    raise UserError(told, where=f"column {name}", cure=did_you_mean(name, values))
        for name, column in values.items():
            kinds = self.aggs.get(name, ()) if isinstance(self.aggs, dict) else self.aggs
            for kind in kinds:
                yield column, kind

    def _name(self, column: Column, kind: str) -> str:
        return f"{column.name}{self.name_sep}{kind}"

    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: State) -> pl.LazyFrame:
        """Sort where lists are asked for, group, and put the groups in order."""
        asked = list(self._asked(columns))
        keys = [wiring.inputs[name] for name in self.groupby_cols]
        order = [*(wiring.inputs[name] for name in self.sort_cols), wiring.row]
        rows = frame.filter(pl.all_horizontal(pl.col(key).is_not_null() for key in keys))
        if any(kind == "list" for _, kind in asked):
            rows = rows.sort(order, descending=not self.ascending, nulls_last=True)
        groups = [pl.col(key).alias(wiring.outputs[name]) for key, name in zip(keys, self.groupby_cols, strict=True)]
        made = [
            _AGGREGATIONS[kind](pl.col(wiring.inputs[column.name]), order).alias(
                wiring.outputs[self._name(column, kind)]
            )
            for column, kind in asked
        ]
        floats = [wiring.outputs[self._name(column, kind)] for column, kind in asked if kind in _MOMENTS]
        grouped = rows.group_by(groups).agg(made).with_columns(pl.col(floats).fill_nan(None))
        return grouped.sort([wiring.outputs[name] for name in self.groupby_cols])

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.Groupby`."""
        aggs = {name: list(kinds) for name, kinds in self.aggs.items()} if isinstance(self.aggs, dict) else self.aggs
        return nvtabular_ops().Groupby(
            groupby_cols=list(self.groupby_cols),
            sort_cols=list(self.sort_cols),
            aggs=aggs if isinstance(aggs, dict) else list(aggs),
            name_sep=self.name_sep,
            ascending=self.ascending,
        )


def _declare(column: Column, kind: str) -> Column:
    """What an aggregation makes of a column."""
    if kind in _COUNTS:
        return continuous(column, nullable=False, dtype=DType.INT64)
    if kind in _MOMENTS:
        require_numbers([column], f"groupby's {kind}")
        # Infinite values can make a sum that is none.
        nullable = kind in _FEW or column.dtype in FLOATS or (column.nullable and kind != "sum")
        return continuous(column, nullable=nullable)
    return replace(column, is_list=True) if kind == "list" else column


def _number(value: pl.Expr) -> pl.Expr:
    """Integers are added as floats, which don't wrap around."""
    return value.cast(pl.Float64)


_AGGREGATIONS: dict[str, Callable[[pl.Expr, list[str]], pl.Expr]] = {
    "count": lambda x, _: x.count().cast(POLARS[DType.INT64]),
    "nunique": lambda x, _: x.drop_nulls().n_unique().cast(POLARS[DType.INT64]),
    "sum": lambda x, _: _number(x).sum(),
    "mean": lambda x, _: _number(x).mean(),
    "std": lambda x, _: _number(x).std(),
    "var": lambda x, _: _number(x).var(),
    "median": lambda x, _: _number(x).median(),
    "min": lambda x, _: x.min(),
    "max": lambda x, _: x.max(),
    "first": lambda x, order: x.sort_by(order, nulls_last=True).first(),
    "last": lambda x, order: x.sort_by(order, nulls_last=True).last(),
    "list": lambda x, _: x,
}
assert _AGGREGATIONS.keys() == set(get_args(Aggregation))
