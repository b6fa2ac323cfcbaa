"""A fitted workflow: frozen, applied to any number of frames, saved, and written into a serving graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from core.errors import UserError
from core.schema import Column, DType, Schema, Tag
from core.suggest import did_you_mean
from etl.dataset.checks import require_small
from etl.engines.base import Engine
from etl.engines.cpu import CpuEngine
from etl.narrow import apply_steps
from etl.onnx import GraphBuilder, Value, cast_to, to_float
from etl.ops.base import Rows
from etl.seen import Seen
from etl.steps import CANONICAL, RAW, Plan, Step, needed, needs_row, raw_columns, reference, split_reference
from etl.types import FLOATS, polars_type
from etl.wide import close_wide, open_wide

if TYPE_CHECKING:
    from etl.online import Online


@dataclass(frozen=True)
class Fitted:
    """A workflow and what it learned.

    Numbers are computed in float64; outputs that carry the tag CONTINUOUS become float32 in the very last step.

    Attributes:
        input_schema: The raw columns that it reads, with the types that they had at the fit.
        fit_schema: The raw columns that only a fit reads (the target).
        steps: In an order in which they can run.
        outputs: Plain name of each output -> its reference in the wide frame.
        seen: What the fit and each update after it read.
        declared: The outputs with those that the fit left out (drop_low_cardinality); an update may bring them back.

    Example:
        >>> from etl.ops import Categorify, LogOp
        >>> from etl.workflow import Workflow
        >>> train = pl.DataFrame({"city": ["Oslo", "Rome", "Oslo"], "age": [20, 30, 40]})
        >>> fitted = Workflow((["city"] >> Categorify()) + (["age"] >> LogOp())).fit(train)
        >>> rows = pl.DataFrame({"city": ["Oslo", "Paris", None], "age": [0, 1, 2]})
        >>> fitted.transform(rows).collect()["city"].to_list()
        [3, 2, 1]
        >>> fitted.schema["city"].cardinality
        5
    """

    input_schema: Schema
    fit_schema: Schema
    steps: tuple[Step, ...]
    outputs: Mapping[str, str]
    seen: tuple[Seen, ...] = ()
    declared: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        dropped = {port for step in self.steps for port in step.dropped}
        object.__setattr__(self, "declared", self.outputs)
        object.__setattr__(self, "outputs", {name: port for name, port in self.outputs.items() if port not in dropped})

    @cached_property
    def schema(self) -> Schema:
        """The output columns, in order: types on disk, tags, cardinalities, embedding widths."""
        return Schema(tuple(_final(self._known[port].renamed(name)) for name, port in self.outputs.items()))

    @cached_property
    def _known(self) -> dict[str, Column]:
        known = raw_columns((*self.input_schema, *self.fit_schema))
        for step in self.steps:
            known.update(step.known)
        return known

    def inputs_of(self, columns: Sequence[str] | None = None) -> tuple[str, ...]:
        """Names of the raw columns that these outputs (all, by default) are made of."""
        _, wanted = needed(self._ports(columns).values(), self.steps)
        raw = {name for name, place in map(split_reference, wanted) if place in {RAW, CANONICAL}}
        return tuple(column.name for column in self.input_schema if column.name in raw)

    def transform(
        self,
        frame: pl.LazyFrame | pl.DataFrame,
        columns: Sequence[str] | None = None,
        keep: Sequence[str] = (),
        engine: Engine | None = None,
        *,
        training: pl.Expr | None = None,
    ) -> pl.LazyFrame:
        """Apply to rows, as one lazy query; further columns of the frame are ignored.

        Args:
            frame: Raw rows.
            columns: Some of the outputs, all by default; only what they are made of has to be there.
            keep: Columns of the frame to pass on as they are, before the outputs.
            engine: What will run the query. The order of rows is kept unless the engine says that it restores it.
            training: Which of the rows the workflow was fitted on, for operators that give those something else
                than they give new rows (TargetEncoding); none by default. Their numbers must be those of the fit:
                the column `core.dataset.ROW`, or the same rows in the same order.

        Raises:
            UserError: A column is missing or its type has changed since the fit.
        """
        ports, runner = self._ports(columns), engine or CpuEngine()
        clash = [name for name in keep if name in ports]
        if clash:
            raise UserError(f"{clash[0]} is both an output and a column to keep", cure="rename the output")
        steps, wanted = needed(ports.values(), self.steps)
        numbered = needs_row([step.operator for step in steps], self._known.values(), runner)
        _require_kept(steps, keep)
        if isinstance(frame, pl.DataFrame):
            require_small(frame)
        opened = partial(open_wide, frame.lazy(), self.input_schema.columns, training=training, numbered=numbered)
        opened = partial(opened, cast_lists=runner.ticks)
        wide = apply_steps(opened(wanted, keep), steps, runner, opened, ordered=runner.ordered)
        finals = [(name, _finish(self.schema[name], self._known[port], port)) for name, port in ports.items()]
        return close_wide(wide, finals, keep)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[str] | None = None
    ) -> dict[str, Value]:
        """Write the workflow into a serving graph.

        Args:
            graph: Takes the nodes.
            inputs: Raw column name -> value: int64 for integers, booleans, dates and times (in microseconds),
                float32 or float64, string. Nulls travel as values (`etl.onnx`).
            columns: Some of the outputs, all by default.

        Returns:
            Output name -> value: int64 for ids, float32 for numbers.

        Raises:
            UserError: An input is missing, or an operator has no counterpart in ONNX.
        """
        ports = self._ports(columns)
        steps, wanted = needed(ports.values(), self.steps)
        values = self._graph_inputs(graph, inputs, wanted)
        for step in steps:
            given = {name: values[port] for name, port in step.planned.reads.items()}
            made = step.operator.onnx(graph, given, step.columns, step.state)
            values.update({step.references[name]: value for name, value in made.items()})
        return {name: _finish_value(graph, self.schema[name], values[port]) for name, port in ports.items()}

    @property
    def plan(self) -> Plan:
        """The same workflow before it was fitted."""
        steps = tuple(step.planned for step in self.steps)
        return Plan(self.input_schema.columns, self.fit_schema.columns, steps, self.declared)

    def by_row(self, columns: Sequence[str] | None = None) -> tuple[str, ...]:
        """Those of the outputs (all, by default) that are made of one row alone, and leave every row there."""
        ports = self._ports(columns)
        return tuple(name for name, port in ports.items() if all(map(_by_row, needed([port], self.steps)[0])))

    def update(
        self,
        frame: pl.LazyFrame | pl.DataFrame,
        engine: Engine | None = None,
        *,
        only: pl.Expr | None = None,
        label: str = "",
    ) -> Fitted:
        """Go on learning from new rows, as if the fit had seen them too; this workflow stays as it is.

        Known categories keep their ids, new ones get the next. An operator that works on what another one
        learned (normalize after fill_median) keeps what it learned of the earlier rows as they were then.

        Args:
            frame: New rows. A column may hold nothing in them, and there may be none.
            engine: What runs the passes, the CPU by default.
            only: See `etl.fitting.fit`.
            label: What to call these rows in `seen`.

        Raises:
            UserError: A column is missing or its type has changed.

        Example:
            >>> from etl.ops import Categorify
            >>> from etl.workflow import Workflow
            >>> monday = Workflow(["city"] >> Categorify()).fit(pl.DataFrame({"city": ["Rome", "Rome", "Oslo"]}))
            >>> tuesday = monday.update(pl.DataFrame({"city": ["Lima", "Lima", "Lima", "Oslo"]}), label="tuesday")
            >>> rows = pl.DataFrame({"city": ["Rome", "Oslo", "Lima"]})
            >>> [day.transform(rows).collect()["city"].to_list() for day in (monday, tuesday)]
            [[3, 4, 2], [3, 4, 5]]
            >>> [str(one) for one in tuesday.seen]
            ['3 rows', '4 rows (tuesday)']
        """
        from etl.fitting import fit
        from etl.updates import continued

        lazy = frame.lazy()
        plan = continued(self.plan, lazy.collect_schema())
        return fit(plan, lazy, engine or CpuEngine(), only=only, before=self, label=label)

    def online(self, columns: Sequence[str] | None = None, keep: Sequence[str] = ()) -> Online:
        """Build the query once, for a caller who sends a few rows at a time; see `etl.online`."""
        from etl.online import Online

        return Online(self, columns, keep)

    def save(self, directory: Path) -> None:
        """Write the workflow as JSON and Parquet, whole or not at all; see `etl.saving`."""
        from etl.saving import save

        save(self, directory)

    @classmethod
    def load(cls, directory: Path) -> Fitted:
        """Read what `save` wrote; see `etl.saving`."""
        from etl.saving import load

        return load(directory)

    def _ports(self, columns: Sequence[str] | None) -> dict[str, str]:
        chosen = self.outputs if columns is None else columns
        for name in chosen:
            if name not in self.outputs:
                told = did_you_mean(name, self.outputs)
                raise UserError(f"the workflow has no output {name}", cure=told)
        return {name: self.outputs[name] for name in chosen}

    def _graph_inputs(self, graph: GraphBuilder, inputs: Mapping[str, Value], wanted: set[str]) -> dict[str, Value]:
        values = {}
        for column in self.input_schema:
            raw, clean = reference(column.name, RAW), reference(column.name, CANONICAL)
            if raw not in wanted and clean not in wanted:
                continue
            if column.name not in inputs:
                raise UserError("the graph has no such input", where=f"column {column.name}")
            values[raw] = inputs[column.name]
            values[clean] = to_float(graph, values[raw]) if column.dtype in FLOATS else values[raw]
        return values


def _by_row(step: Step) -> bool:
    operator = step.operator
    return operator.rows is Rows.KEPT and not operator.windowed and not operator.numbered


def _final(column: Column) -> Column:
    return column.with_dtype(DType.FLOAT32) if Tag.CONTINUOUS in column.tags else column


def _finish(final: Column, column: Column, port: str) -> pl.Expr:
    value = pl.col(port)
    return value.cast(polars_type(final)) if final.dtype != column.dtype else value


def _require_kept(steps: Sequence[Step], keep: Sequence[str]) -> None:
    for step in steps:
        if keep and step.operator.rows is Rows.REGROUPED:
            raise UserError(
                f"{step.operator.kind} makes other rows, so columns of the rows before ({keep[0]}) can't be kept",
                where=f"operator {step.operator.kind}",
                cure="keep none; in a config, features must leave the rows as they are",
            )


def _finish_value(graph: GraphBuilder, final: Column, value: Value) -> Value:
    if Tag.CONTINUOUS not in final.tags:
        return value
    return cast_to(graph, to_float(graph, value), "float32")
