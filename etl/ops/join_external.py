"""Columns of another table, found by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from core.errors import UserError
from core.schema import Column, Tag
from core.spec import custom_error
from core.suggest import did_you_mean
from etl.onnx import GraphBuilder, Value
from etl.ops.base import Collected, Operator, Rows, Wiring
from etl.ops.declare import IDS
from etl.ops.external import NULLS, ExternalTable, canonical_column, prepared
from etl.ops.foreign import refuse
from etl.ops.given import Given, GivenTable
from etl.ops.keyed import Key, Names, add_found, row_node, take_node
from etl.ops.nvt import nvtabular_ops

_REFUSED = {
    "kind_ext": "the kind of the table is seen from what is given",
    "cache": "the table is kept in the saved workflow",
}
_FOUND = "found@"


class JoinExternal(Operator[ExternalTable]):
    """The columns of another table beside those that it is applied to; null where the table has no such key.

    The table becomes part of the saved workflow: serving and other machines need no file, and a file that changes
    later changes nothing. An update by the same workflow keeps the table, too; one by features that are written anew
    (`Workflow.update`, `etl.start_from`) takes the table as it is then.

    Each key may stand in it once. A null key finds the row of the table whose key is null. Columns of the table are
    raw values; let other operators follow.

    Args:
        df_ext: A frame (Polars, pandas, Arrow) or files, Parquet or CSV; in a config `path`, relative to the
            config's directory.
        on: The key: one or several of the columns that it is applied to.
        how: `left`, or `inner` to drop rows without a match (in serving every row passes, with nulls).
        on_ext: What the key columns are called in the table; the same by default.
        columns_ext: The columns of the table to take; all by default.
        drop_duplicates_ext: Drop rows of the table that are equal in everything that is taken of them.
        keep_on: False: give the columns of the table alone.

    Example:
        >>> from etl import Workflow
        >>> cities = pl.DataFrame({"city": ["Oslo", "Rome"], "people": [717, 2748]})
        >>> frame = pl.DataFrame({"city": ["Rome", "Lima"]})
        >>> Workflow(["city"] >> JoinExternal(cities, on="city")).fit(frame).transform(frame).collect().rows()
        [('Rome', 2748), ('Lima', None)]
    """

    kind = "join_external"
    state_type = ExternalTable
    columnwise = False

    df_ext: GivenTable = Field(alias="path")
    on: Names
    how: Literal["left", "inner"] = "left"
    on_ext: Names | None = None
    columns_ext: Names | None = None
    drop_duplicates_ext: bool = False
    keep_on: bool = True

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        return refuse(value, _REFUSED)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.on_ext or self.on) != len(self.on):
            told = f"on_ext must name as many columns as on ({len(self.on)}), got {len(self.on_ext or ())}"
            raise custom_error("on_ext", told)
        return self

    @property
    def rows(self) -> Rows:  # type: ignore[override]  # depends on the settings
        """See `Operator`."""
        return Rows.DROPPED if self.how == "inner" else Rows.KEPT

    def served(self) -> JoinExternal:
        """Every row passes there."""
        return self.model_copy(update={"how": "left"})

    def outputs(self, columns: Sequence[Column], state: ExternalTable | None = None) -> tuple[Column, ...]:
        """Declare the columns that it is applied to, then those of the table."""
        key = self._key(columns)
        table = self._prepared(key) if state is None else state
        own = {column.name for column in columns}
        for name in table.values:
            if name in own:
                raise UserError(
                    f"{self.kind} would bring another column of this name from {self.df_ext.name}",
                    where=f"column {name}",
                    cure="rename one of them, or name the columns to take in columns_ext",
                )
        tags = key.belongs.tags - IDS - {Tag.CATEGORICAL, Tag.CONTINUOUS}
        made = [Column(name, dtype, tags) for name, dtype in table.values.items()]
        return (*(columns if self.keep_on else ()), *made)

    def learn(self, collected: Collected, columns: Sequence[Column]) -> ExternalTable:
        """Nothing is learned from the rows; `settle` brings the table."""
        return ExternalTable(pl.DataFrame())

    def merge(self, old: ExternalTable, new: ExternalTable, columns: Sequence[Column]) -> ExternalTable:
        """A table that is given anew takes the place of the old one; a loaded workflow opens no file, and keeps it.

        Raises:
            UserError: The columns of the new one are others.
        """
        if not self.df_ext.opened:
            return old
        fresh = self.settle(new)
        if fresh.values != old.values:
            raise UserError(
                f"{self.df_ext.name} has other columns than the table that the workflow was fitted with",
                where=f"column {', '.join(self.on)}",
                cure="give a table with the same columns, name them in columns_ext, or fit all rows anew",
            )
        return fresh

    def settle(self, state: ExternalTable) -> ExternalTable:
        """Take the table in, once; its types were checked when the workflow was compiled."""
        if state.table.width:
            return state
        table = self.df_ext.table
        own = [canonical_column(table, name) for name in self.on_ext or self.on]
        return self._prepared(Key(tuple(one.renamed(name) for one, name in zip(own, self.on, strict=True))))

    def transform(
        self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: ExternalTable
    ) -> pl.LazyFrame:
        """Join the table."""
        if self.keep_on:
            frame = frame.with_columns(
                pl.col(wiring.inputs[column.name]).alias(wiring.outputs[column.name]) for column in columns
            )
        found = {name: wiring.outputs[name] for name in state.values}
        if self.how == "left":
            return add_found(frame, self._key(columns), wiring, state.table, found)
        flag = f"{next(iter(wiring.outputs.values()))}!found"
        table = state.table.with_columns(pl.lit(1, pl.Int8).alias(_FOUND))
        joined = add_found(frame, self._key(columns), wiring, table, {_FOUND: flag, **found})
        return joined.filter(pl.col(flag).is_not_null()).drop(flag)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: ExternalTable
    ) -> dict[str, Value]:
        """The number of the table's row, then what each column holds there."""
        made = {column.name: inputs[column.name] for column in columns if self.keep_on}
        row = row_node(graph, [inputs[name] for name in self.on], state.table)
        for name, dtype in state.values.items():
            kind, null = NULLS[dtype]
            made[name] = take_node(graph, row, state.table[name].fill_null(null).to_list(), null, kind)
        return made

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.JoinExternal`, with the table as a frame of pandas where that is at hand."""
        table: Any = self.df_ext.table
        if find_spec("pandas") is not None:
            table = import_module("pandas").DataFrame(table.to_dict(as_series=False))
        return nvtabular_ops().JoinExternal(
            table,
            list(self.on),
            how=self.how,
            on_ext=list(self.on_ext or self.on),
            columns_ext=None if self.columns_ext is None else list(self.columns_ext),
            drop_duplicates_ext=self.drop_duplicates_ext,
        )

    def _key(self, columns: Sequence[Column]) -> Key:
        known = {column.name: column for column in columns}
        for name in self.on:
            if name not in known:
                told = f"{self.kind} joins on a column that the feature does not list"
                raise UserError(told, where=f"column {name}", cure=did_you_mean(name, known))
        return Key(tuple(known[name] for name in self.on))

    def _prepared(self, key: Key) -> ExternalTable:
        given: Given = self.df_ext
        return prepared(
            given.table,
            key,
            on_ext=self.on_ext or self.on,
            columns=self.columns_ext,
            unique=self.drop_duplicates_ext,
            where=given.name,
        )
