"""Which columns share a vocabulary, and how their values are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import polars as pl

from core.errors import UserError
from core.schema import Column, DType
from etl.ops.base import Wiring
from etl.ops.declare import IDS, categorical
from etl.ops.keys import key_dtype, key_expression
from etl.ops.vocabularies import COUNT
from etl.types import clean
from etl.values.counting import Counting
from etl.values.lists import exploded

VALUE = "value"


@dataclass(frozen=True)
class Table:
    """One vocabulary.

    Attributes:
        name: That of its column, or of all its columns, joined.
        columns: They share it; or, when it is one of combinations, they are the parts of its values.
        combined: It is one of combinations, so that it gives one column, called as the table.
        whole: All columns of its group are there; where only some outputs are wanted, some may not be.
    """

    name: str
    columns: tuple[Column, ...]
    combined: bool = False
    whole: bool = True

    @property
    def possible(self) -> bool:
        """Whether ids can be made: a combination needs all its parts."""
        return self.whole or not self.combined

    @property
    def alone(self) -> bool:
        """One column of single values: its values are counted by `Counting`."""
        return len(self.columns) == 1 and not self.columns[0].is_list

    @property
    def names(self) -> tuple[str, ...]:
        """How settings by column may call it."""
        return (self.name, *(column.name for column in self.columns))

    @property
    def keys(self) -> list[str]:
        """Columns of a value in the vocabulary."""
        return [f"{VALUE}_{number}" for number in range(len(self.columns))] if self.combined else [VALUE]

    @property
    def dtypes(self) -> list[DType]:
        """Types of those columns."""
        return [key_dtype(column) for column in (self.columns if self.combined else self.columns[:1])]

    def counts(self, frame: pl.LazyFrame, wiring: Wiring) -> pl.LazyFrame | Counting:
        """How often each value occurs; null is no value, and a combination is null when all its parts are."""
        first = self.columns[0]
        if self.alone:
            return Counting(frame, key_expression(pl.col(wiring.inputs[first.name]), first))
        if self.combined:
            parts = [pl.col(wiring.inputs[column.name]) for column in self.columns]
            made = [
                key_expression(x, column).alias(key)
                for x, column, key in zip(parts, self.columns, self.keys, strict=True)
            ]
            values = frame.select(made).filter(pl.any_horizontal(pl.col(key).is_not_null() for key in self.keys))
        else:
            found = [_values(frame, wiring, column) for column in self.columns]
            values = pl.concat(found).filter(pl.col(VALUE).is_not_null())
        return values.group_by(self.keys).agg(pl.len().alias(COUNT))


def tables_of(
    columns: Sequence[Column], groups: Sequence[Sequence[str]], *, combined: bool, sep: str
) -> tuple[Table, ...]:
    """The vocabularies of some columns, in the order in which the columns are written.

    Args:
        columns: What the operator is applied to (some of it, when only some outputs are wanted).
        groups: Names of columns that belong together.
        combined: A group makes one column of combinations; else its columns share a vocabulary.
        sep: Stands between the names of a group.

    Raises:
        UserError: The columns of a group don't go together.

    Example:
        >>> columns = [Column(name, DType.STRING) for name in "abc"]
        >>> [table.name for table in tables_of(columns, [("a", "c")], combined=False, sep="_")]
        ['a_c', 'b']
    """
    found: dict[str, Table] = {}
    known = {column.name: column for column in columns}
    for column in columns:
        mine = [group for group in groups if column.name in group]
        if len(mine) > 1 and not combined:
            told = "a column can share only one vocabulary, and it stands in several groups"
            raise UserError(told, where=f"column {column.name}", cure='leave it in one, or set encode_type: "combo"')
        for group in mine or [(column.name,)]:
            name = sep.join(group)
            members = tuple(known[one] for one in group if one in known)
            table = Table(name, members, combined and len(group) > 1, len(members) == len(group))
            _require_fit(table)
            found.setdefault(name, table)
    return tuple(found.values())


def ids_column(column: Column, cardinality: int | None, dtype: DType, *, domain: str | None = None) -> Column:
    """A column of ids of this type; `domain` is the name of a vocabulary that it shares with others."""
    made = categorical(column, cardinality).with_dtype(dtype)
    if domain is None:
        return made
    return replace(made, properties={**made.properties, "domain": {"name": domain}})


def combined_column(table: Table) -> Column:
    """What a combination is before it is an id: it belongs to the side that all its parts belong to."""
    tags = reduce(frozenset.intersection, (column.tags for column in table.columns)) - IDS
    return Column(table.name, DType.STRING, tags)


def _require_fit(table: Table) -> None:
    lists = [column.name for column in table.columns if column.is_list]
    if table.combined and lists:
        raise UserError("lists can't be part of a combination", where=f"column {lists[0]}", cure="leave it out")
    kinds = {key_dtype(column) for column in table.columns}
    if not table.combined and len(kinds) > 1:
        shown = ", ".join(f"{column.name} {key_dtype(column).value}" for column in table.columns)
        told = f"columns that share a vocabulary must hold values of one kind, got {shown}"
        raise UserError(told, where=f"column {table.name}", cure='give each its own, or set encode_type: "combo"')


def _values(frame: pl.LazyFrame, wiring: Wiring, column: Column) -> pl.LazyFrame:
    """The values of a column one below the other."""
    source = wiring.inputs[column.name]
    x = pl.col(source)
    if not column.is_list:
        return frame.select(key_expression(x, column).alias(VALUE))
    return exploded(frame, source, wiring).select(key_expression(clean(x, column.dtype), column).alias(VALUE))
