"""Statistics of numbers by key, learned on the training rows and put beside every row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from core.errors import UserError
from core.schema import Column
from core.spec import custom_error, listed
from etl.onnx import GraphBuilder, Value
from etl.ops.base import Collected, Operator, Statistics, Wiring
from etl.ops.declare import continuous, require_numbers
from etl.ops.foreign import STATISTICS, refuse
from etl.ops.group_stats import AGGREGATE, COUNT, gathered, learned, merged, needs_sums, shown, summed
from etl.ops.keyed import (
    AnyNames,
    Groups,
    Key,
    KeyedTables,
    add_found,
    fractions,
    in_order,
    keys_of,
    require_whole,
    row_node,
    table_name,
    take_node,
)
from etl.ops.nvt import nvtabular_ops
from etl.ops.sums import require_summable, sum_scalars

Stat = Literal["count", "sum", "mean", "std", "var", "min", "max"]


class JoinGroupby(Operator[KeyedTables]):
    """Count of rows by key, and statistics of numbers by key: KEY_count, KEY_NUMBER_mean, ...

    What a row gets is learned on the training rows, its own among them. A key that was not seen has the count 0
    and null for everything else; rows without a value in the key form a group of their own. Deviation and variance
    are those of the sample (ddof 1), null for a single value. The numbers are read in the fit alone.

    Columns in a list of their own form one key: `["a", ["b", "c"]] >> JoinGroupby(...)`.

    Args:
        cont_cols: Columns of numbers.
        stats: Of `count`, `sum`, `mean`, `std`, `var`, `min`, `max`.
        name_sep: Joins the parts of names.
        groups: The columns of keys that have several.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"city": ["Oslo", "Oslo", "Rome"], "price": [1.0, 3.0, 5.0]})
        >>> fitted = Workflow(["city"] >> JoinGroupby("price", ["count", "mean"])).fit(frame)
        >>> fitted.transform(pl.DataFrame({"city": ["Oslo", "Lima"]})).collect().to_dict(as_series=False)
        {'city_count': [2.0, 0.0], 'city_price_mean': [2.0, None]}
    """

    kind = "join_groupby"
    state_type = KeyedTables

    cont_cols: AnyNames = ()
    stats: Annotated[tuple[Stat, ...], BeforeValidator(listed), Field(min_length=1)] = ("count",)
    name_sep: str = "_"
    groups: Groups = ()

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        return refuse(value, STATISTICS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if set(self.stats) - {COUNT} and not self.cont_cols:
            named = next(stat for stat in self.stats if stat != COUNT)
            raise custom_error("cont_cols", f"cont_cols must name the columns whose {named} to take")
        return self

    @property
    def columnwise(self) -> bool:  # type: ignore[override]  # depends on the settings
        """See `Operator`."""
        return not self.groups

    @property
    def fit_dependencies(self) -> tuple[str, ...]:
        """The numbers."""
        return self.cont_cols

    def grouped(self, groups: Groups) -> JoinGroupby:
        """Take groups of columns as keys."""
        return self.model_copy(update={"groups": groups})

    def outputs(self, columns: Sequence[Column], state: KeyedTables | None = None) -> tuple[Column, ...]:
        """Declare a number for each key and statistic."""
        keys = self._keys(columns)
        if not keys and state is None:
            told = f"{self.kind} needs columns beside those of numbers"
            raise UserError(told, where=f"column {', '.join(self.cont_cols)}")
        return tuple(
            continuous(key.belongs, nullable=stat != COUNT).renamed(name)
            for key in keys
            for (stat, _), name in self._names(key).items()
        )

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """One grouped table for each key."""
        keys = self._keys(columns)
        scalars = fractions(keys, wiring)
        numbers = [wiring.columns[name] for name in self.cont_cols]
        require_numbers(numbers, self.kind)
        values: list[pl.Expr] = []
        made = [pl.len().cast(pl.Int64).alias(COUNT)]
        for column in numbers:
            x = pl.col(wiring.inputs[column.name])
            if needs_sums(self.stats):
                scalars |= sum_scalars(x, column.name)
            for part, value in gathered(x, column, self.stats).items():
                values.append(value.alias(f"{part}@{column.name}"))
                made.append(AGGREGATE[part](pl.col(f"{part}@{column.name}")))
        tables = {
            table_name(key): frame.select(*key.expressions(wiring), *values).group_by(key.places).agg(made)
            for key in keys
        }
        return Statistics(scalars, tables)

    def learn(self, collected: Collected, columns: Sequence[Column]) -> KeyedTables:
        """Put the tables in order of their keys; what rounding left in a spread is rounded away."""
        require_whole(collected, self.kind)
        for name in self.cont_cols if needs_sums(self.stats) else ():
            require_summable(collected.scalars, summed(next(iter(collected.tables.values())), name), self.kind)
        return KeyedTables({name: learned(in_order(table)) for name, table in collected.tables.items()})

    def merge(self, old: KeyedTables, new: KeyedTables, columns: Sequence[Column]) -> KeyedTables:
        """Add counts and sums, and put spreads together (Chan, Golub and LeVeque, 1983)."""
        return KeyedTables({name: merged(table, new.by_key[name]) for name, table in old.by_key.items()})

    def transform(
        self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: KeyedTables
    ) -> pl.LazyFrame:
        """One join for each key."""
        counts = []
        for key in self._keys(columns):
            names = {name: wiring.outputs[name] for name in self._names(key).values()}
            frame = add_found(frame, key, wiring, self._shown(key, state), names)
            if COUNT in self.stats:
                counts.append(pl.col(names[self._names(key)[COUNT, ""]]).fill_null(0.0))
        return frame.with_columns(counts)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: KeyedTables
    ) -> dict[str, Value]:
        """The number of the key's row, then what each column holds there."""
        made = {}
        for key in self._keys(columns):
            table = self._shown(key, state)
            row = row_node(graph, [inputs[name] for name in key.names], table)
            for (stat, _), name in self._names(key).items():
                missing = 0.0 if stat == COUNT else math.nan
                made[name] = take_node(graph, row, table[name].fill_null(math.nan).to_list(), missing, "float64")
        return made

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.JoinGroupby`; groups are written in its selector."""
        return nvtabular_ops().JoinGroupby(
            cont_cols=list(self.cont_cols), stats=list(self.stats), name_sep=self.name_sep
        )

    def _keys(self, columns: Sequence[Column]) -> list[Key]:
        return keys_of(columns, self.groups, self.cont_cols)

    def _names(self, key: Key) -> dict[tuple[str, str], str]:
        """Statistic and number -> name of the output; the count belongs to no number."""
        label = key.label(self.name_sep)
        made: dict[tuple[str, str], str] = {}
        if COUNT in self.stats:
            made[COUNT, ""] = self.name_sep.join((label, COUNT))
        for name in self.cont_cols:
            made |= {(stat, name): self.name_sep.join((label, name, stat)) for stat in self.stats if stat != COUNT}
        return made

    def _shown(self, key: Key, state: KeyedTables) -> pl.DataFrame:
        """The table of a key with the outputs under their names."""
        table = state.of(key)
        made = [shown(table, stat, name).alias(output) for (stat, name), output in self._names(key).items()]
        return table.select(*key.places, *made)
