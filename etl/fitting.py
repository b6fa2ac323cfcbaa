"""Fitting a plan: all statistics of one level in one pass over the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import Column, Schema
from etl.engines.base import Engine
from etl.fitted import Fitted
from etl.ops.base import Collected, State, Statistics, Wiring
from etl.steps import Plan, PlannedStep, Step, needed, raw_columns, split_reference
from etl.wide import open_wide

_ROWS = "rows"


def fit(plan: Plan, frame: pl.LazyFrame, engine: Engine) -> Fitted:
    """Learn the state of every step from the rows of a frame.

    A level is the set of operators whose inputs are known; each level costs one pass over the rows.

    Raises:
        UserError: A column holds no value, or an operator can't learn from what it holds.
    """
    fitting = _Fitting(plan, frame, engine, raw_columns(plan.inputs))
    while len(fitting.done) < len(plan.steps):
        level = fitting.settle()
        if level:
            fitting.learn(level)
    steps = tuple(fitting.done[step.number] for step in plan.steps)
    return Fitted(Schema(plan.inputs), steps, dict(plan.outputs))


@dataclass
class _Fitting:
    """How far a fit has come.

    Attributes:
        known: Columns by reference, as far as they are fitted.
        done: Fitted steps by number.
    """

    plan: Plan
    frame: pl.LazyFrame
    engine: Engine
    known: dict[str, Column]
    done: dict[int, Step] = field(default_factory=dict)

    def settle(self) -> list[PlannedStep]:
        """Finish the steps that learn nothing; give those that can learn now."""
        level = []
        for planned in self.plan.steps:
            if planned.number in self.done or not self.known.keys() >= set(planned.inputs.values()):
                continue
            if planned.operator.state_type is State:
                self._finish(planned, State())
            else:
                level.append(planned)
        return level

    def learn(self, level: Sequence[PlannedStep]) -> None:
        """One pass: the statistics of every operator of the level, then their states."""
        wide = self._wide(level)
        asked = {step.number: self._ask(step, wide) for step in level}
        tables = {(number, key): table for number, one in asked.items() for key, table in one.tables.items()}
        first, *rest = self.engine.collect([wide.select(_scalars(level, asked)), *tables.values()])
        scalars, found = first.row(0, named=True), dict(zip(tables, rest, strict=True))
        for step in level:
            _require_values(step, scalars)
            own = asked[step.number]
            collected = Collected(
                {key: scalars[f"{step.number}:{key}"] for key in own.scalars},
                {key: found[step.number, key] for key in own.tables},
            )
            self._finish(step, step.operator.learn(collected, step.columns(self.known)))

    def _wide(self, level: Sequence[PlannedStep]) -> pl.LazyFrame:
        """The rows with every column that the level reads."""
        ports = {port for step in level for port in step.inputs.values()}
        steps, wanted = needed(ports, [self.done[number] for number in sorted(self.done)])
        wide = open_wide(self.frame, self.plan.inputs, wanted)
        for step in steps:
            # The order of rows changes no statistic.
            wide = step.apply(wide, self.engine, ordered=False)
        return wide

    def _ask(self, step: PlannedStep, wide: pl.LazyFrame) -> Statistics:
        return step.operator.statistics(wide, step.columns(self.known), Wiring(step.inputs, {}))

    def _finish(self, planned: PlannedStep, state: State) -> None:
        step = planned.fitted(self.known, state)
        self.done[step.number] = step
        self.known.update(step.known)


def _scalars(level: Sequence[PlannedStep], asked: Mapping[int, Statistics]) -> list[pl.Expr]:
    """Every scalar of a level, the number of rows, and the number of values in each input."""
    ports = dict.fromkeys(port for step in level for port in step.inputs.values())
    counts = [pl.col(port).count().alias(f"count:{port}") for port in ports]
    own = [value.alias(f"{n}:{key}") for n, one in asked.items() for key, value in one.scalars.items()]
    return [pl.len().alias(_ROWS), *counts, *own]


def _require_values(step: PlannedStep, scalars: Mapping[str, Any]) -> None:
    """Refuse to learn from nothing."""
    if scalars[_ROWS] == 0:
        raise UserError("there are no rows to fit on", where=f"operator {step.operator.kind}")
    for name, port in step.inputs.items():
        if scalars[f"count:{port}"] == 0:
            made_of, _ = split_reference(port)
            raise UserError(
                f"the column holds no value in the rows to fit on, so {step.operator.kind} can't learn from it",
                where=f"column {name}" if made_of == name else f"column {name} (from {made_of})",
                cure="leave the column out, or put fill_missing before",
            )
