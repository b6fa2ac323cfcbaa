"""Values to ids of a vocabulary, in NVTabular's layout.

- 0: padding
- 1: null
- 2 .. 1 + num_buckets: out of vocabulary; one id by default, else the hash of the value chooses
- 2 + num_buckets and on: the vocabulary, most frequent value first, ties by value ascending
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from core.errors import UserError
from core.schema import Column, DType
from etl.onnx import GraphBuilder, Value, like
from etl.ops.amounts import completed
from etl.ops.base import Collected, Statistics, Wiring
from etl.ops.category_given import (
    Wanted,
    given_vocabulary,
    placed_vocabs,
)
from etl.ops.category_ids import NULL, OOV, Ids, key_of
from etl.ops.category_settings import CategorifySettings
from etl.ops.category_tables import Table, combined_column, ids_column
from etl.ops.keys import NO_KEY, key_expression
from etl.ops.nvt import nvtabular_ops
from etl.ops.vocabularies import COUNT, Vocabularies, Vocabulary, end_of, merge, rank, settle, shared
from etl.types import POLARS
from etl.values.lists import add_lists

__all__ = ["NULL", "OOV", "Categorify", "Vocabularies"]


class Categorify(CategorifySettings):
    """Integers, strings, or floats that hold whole numbers, to ids; also the elements of lists.

    Each column has its own vocabulary, but for columns in a group: `[["a", "b"]] >> Categorify()` gives both ids of one
    common vocabulary, and with `encode_type="combo"` one column `a_b` with an id for each combination of values,
    which is null only if all its parts are.

    Args:
        freq_threshold: Keep values that occur at least this often; the others are out of vocabulary.
        max_size: Most ids of a column, the reserved ones included; 0: no limit.
        num_buckets: Number of ids for what is out of vocabulary.
        encode_type: What becomes of a group: `joint` or `combo`.
        name_sep: Stands between the names of a group.
        vocabs: Vocabularies that are given instead of learned: column (or group, `a_b`) -> its values in the order
            of ids, or the path of a `unique.NAME.parquet` of NVTabular. A path alone is the directory of all of them.
            In a config, paths start from the config's directory.
        single_table: The ids of all columns lie in one space, one column's behind the other's.
        dtype: Type of the ids, int32 by default.
        groups: Columns that belong together; `columns: [[a, b], c]` sets it.

    `freq_threshold`, `max_size` and `num_buckets` can be a mapping from column (or group) to number.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"city": ["Rome", "Oslo", "Rome", None]})
        >>> fitted = Workflow(["city"] >> Categorify()).fit(frame)
        >>> fitted.transform(pl.DataFrame({"city": ["Rome", "Oslo", "Lima", None, ""]})).collect()["city"].to_list()
        [3, 4, 2, 1, 1]
        >>> trips = pl.DataFrame({"start": ["Oslo", "Rome", "Rome"], "end": ["Rome", None, "Lima"]})
        >>> Workflow([["start", "end"]] >> Categorify()).fit(trips).transform(trips).collect().rows()
        [(5, 3), (3, 1), (3, 4)]
        >>> Workflow([["start", "end"]] >> Categorify(encode_type="combo")).fit(trips).transform(trips).collect().rows()
        [(3,), (4,), (5,)]
    """

    kind = "categorify"
    state_type = Vocabularies
    takes_lists = True

    def outputs(self, columns: Sequence[Column], state: Vocabularies | None = None) -> tuple[Column, ...]:
        """Declare id columns; a fit tells their cardinality. Of a single column: all that it takes part in."""
        tables, dtype = self._tables(columns), DType(self.dtype or "int32")
        if state is None:
            self._require_known(tables)
        made = {}
        for table in tables:
            ids = None if state is None else self._cardinality(table.name, state)
            if table.combined:
                made[table.name] = ids_column(combined_column(table), ids, dtype)
                continue
            # Merlin calls a vocabulary that columns share by its own name.
            domain = None if (table.name,) == tuple(column.name for column in table.columns) else table.name
            made |= {column.name: ids_column(column, ids, dtype, domain=domain) for column in table.columns}
        names = [column.name for column in columns if column.name in made]
        return tuple(made[name] for name in [*names, *(name for name in made if name not in names)])

    def unknown_ids(self, columns: Sequence[Column], state: Vocabularies) -> dict[str, range]:
        """The ids that mean "out of vocabulary", by output."""
        found: dict[str, range] = {}
        for table in self.tables(columns):
            add = state.shifts[table.name][0][1] if state.shifts else 0
            ids = range(OOV + add, self.first(table) + add)
            found |= dict.fromkeys([table.name] if table.combined else [one.name for one in table.columns], ids)
        return found

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """How often each value occurs."""
        learned = [table for table in self.tables(columns) if not self._is_given(table)]
        return Statistics(tables={table.name: table.counts(frame, wiring) for table in learned})

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Vocabularies:
        """Put the values in order; `settle` brings the vocabularies that are given."""
        return Vocabularies.of({table.name: self._learned(table, collected) for table in self.tables(columns)})

    def merge(self, old: Vocabularies, new: Vocabularies, columns: Sequence[Column]) -> Vocabularies:
        """Known values keep their ids; others get the next ones when they are seen often enough."""
        found = {table.name: self._merged(old, new, table) for table in self.tables(columns)}
        return Vocabularies.of(found, shared(old, found, self._firsts(found)) if old.shifts else {})

    def settle(self, state: Vocabularies) -> Vocabularies:
        """Take given vocabularies in, and leave out values that can't get an id any more."""
        found = {}
        for name in state.by_column:
            one = self._given(name, state[name]) if COUNT not in state.by_column[name].columns else state[name]
            found[name] = settle(one, most=self._most(self._called(name)))
        new = self.single_table and not state.shifts
        settled = Vocabularies.of(found, shared(None, found, self._firsts(found)) if new else state.shifts)
        for name in found:
            last = self._cardinality(name, settled) - 1
            if last > np.iinfo(self.dtype or "int32").max:
                told = f"dtype {self.dtype or 'int32'} holds no id {last}, and the column needs it"
                raise UserError(told, where=f"column {name}", cure="set a wider dtype, or max_size")
        return settled

    def transform(
        self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: Vocabularies
    ) -> pl.LazyFrame:
        """Look values up, then give nulls and unknown values their ids."""
        tables = self.tables(columns)
        ids = {table.name: self._ids(table, state) for table in tables}
        singles = [(ids[table.name], one) for table in tables if not table.combined for one in table.columns]
        flat = [(layout, column) for layout, column in singles if not column.is_list]
        if wiring.collect is None:
            frame = frame.with_columns(
                layout.ids(pl.col(wiring.inputs[column.name]), column).alias(wiring.outputs[column.name])
                for layout, column in flat
            )
        else:
            frame = _looked_up(frame, flat, wiring)
        for table in (table for table in tables if table.combined):
            output = wiring.outputs[table.name]
            frame = ids[table.name].add_combination(frame, output, wiring).with_columns(ids[table.name].id(output))
        lists = [(layout, column) for layout, column in singles if column.is_list]
        inside = {one.name: layout.in_lists(pl.col(wiring.inputs[one.name]), one) for layout, one in lists}
        return add_lists(frame, inside, wiring)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: Vocabularies
    ) -> dict[str, Value]:
        """A LabelEncoder that knows null as one more value."""
        made: dict[str, Value] = {}
        for table in self.tables(columns):
            ids = self._ids(table, state)
            if table.combined:
                made[table.name] = ids.combination_node(graph, [inputs[column.name] for column in table.columns])
            else:
                made |= {one.name: like(inputs[one.name], ids.node(graph, inputs[one.name])) for one in table.columns}
        return made

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.Categorify`."""
        self._require_possible(columns)
        names = [name for table in self.tables(columns) for name in table.names]
        settings: dict[str, Any] = {
            "freq_threshold": completed(self.freq_threshold, names, 0),
            "max_size": completed(self.max_size, names, 0),
            "num_buckets": None if self.num_buckets == 1 else completed(self.num_buckets, names, 1),
        }
        # Only what differs from its defaults.
        if self.groups:
            settings |= {"encode_type": self.encode_type, "name_sep": self.name_sep}
        if self.dtype is not None:
            settings["dtype"] = self.dtype
        return nvtabular_ops().Categorify(**settings)

    def _require_possible(self, columns: Sequence[Column]) -> None:
        """Refuse what NVTabular has no right answer to."""
        told = ""
        if self.vocabs is not None or self.single_table:
            setting = "single_table" if self.single_table else "vocabs"
            told = f"NVTabular gives other ids than it documents for categorify with {setting}"
        elif self.freq_threshold and self.max_size:
            told = "NVTabular takes freq_threshold or max_size for categorify, not both"
        if told:
            where, cure = f"column {columns[0].name}", "leave it out, or set `etl.engine: cpu`"
            raise UserError(told, where=where, cure=cure)

    def _learned(self, table: Table, collected: Collected) -> Vocabulary:
        if self._is_given(table):
            # Its types alone: an update leaves a given vocabulary as it is, and needs no file.
            known = pl.DataFrame(
                schema={key: POLARS[dtype] for key, dtype in zip(table.keys, table.dtypes, strict=True)}
            )
            return Vocabulary(known, known)
        counts = collected.tables[table.name]
        floats = any(column.dtype == DType.FLOAT64 for column in table.columns)
        if floats and any((counts[key] == NO_KEY).any() for key in table.keys if counts.schema[key] == pl.Int64):
            raise UserError(
                "categorify takes whole numbers or strings, and the column holds other numbers",
                where=f"column {table.name}",
                cure="use bucketize, or normalize",
            )
        return rank(counts, **self._limits(table), in_order=table.alone)

    def _merged(self, old: Vocabularies, new: Vocabularies, table: Table) -> Vocabulary:
        if self._is_given(table):
            return old[table.name]
        return merge(old[table.name], new[table.name], where=f"column {table.name}", **self._limits(table))

    def _given(self, name: str, types: Vocabulary) -> Vocabulary:
        assert self.vocabs is not None
        members = self._called(name)
        combined = self.encode_type == "combo" and len(members) > 2
        wanted = Wanted(name, members[1:] if combined else (), types.known.schema)
        limits = {"first": self._firsts([name])[name], "most": self._most(members)}
        known = given_vocabulary(placed_vocabs(self.vocabs, self._base), wanted, **limits)
        return Vocabulary(known, known.clear())

    def _cardinality(self, name: str, state: Vocabularies) -> int:
        if not self.single_table:
            return self._firsts([name])[name] + state.by_column[name].height
        return max(end_of(state, one, first) for one, first in self._firsts(state.by_column).items())

    def _ids(self, table: Table, state: Vocabularies) -> Ids:
        dtype = POLARS[DType(self.dtype or "int32")]
        known = state.by_column[table.name]
        return Ids(table, known, self.buckets(table), state.shifts.get(table.name, ()), dtype)


def _looked_up(frame: pl.LazyFrame, flat: Sequence[tuple[Ids, Column]], wiring: Wiring) -> pl.LazyFrame:
    """Add the ids of columns of single values, by way of their keys; no Python in the plan."""
    outputs = [(layout, column, wiring.outputs[column.name]) for layout, column in flat]
    frame = frame.with_columns(
        key_expression(pl.col(wiring.inputs[column.name]), column).alias(key_of(output))
        for _, column, output in outputs
    )
    for layout, column, output in outputs:
        frame = layout.add_found(frame, column, output, wiring)
    return frame.with_columns(layout.id(output) for layout, _, output in outputs)
