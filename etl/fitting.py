"""Fitting a plan: all statistics of one level in one pass over the training rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import Column, Schema
from etl.engines.base import Engine
from etl.fitted import Fitted
from etl.narrow import apply_steps
from etl.ops.base import Collected, State, Statistics
from etl.seen import Seen, look, seen, warn_of_twice
from etl.steps import (
    Plan,
    PlannedStep,
    Step,
    needed,
    needs_row,
    raw_columns,
    scope_of,
    scopes_of,
    split_reference,
    wiring,
)
from etl.wide import TRAINED, open_wide

_ROWS = "rows"


def fit(
    plan: Plan,
    frame: pl.LazyFrame,
    engine: Engine,
    *,
    only: pl.Expr | None = None,
    before: Fitted | None = None,
    label: str = "",
) -> Fitted:
    """Learn the state of every step from the rows of a frame.

    A level is the set of operators whose inputs are known; each level costs one pass over the rows.

    Args:
        plan: The steps.
        frame: Rows to learn from.
        engine: What runs the passes.
        only: Which of the rows to learn from, all by default; the others only stand in the windows of operators
            that look at other rows.
        before: What an earlier fit of the same plan learned, to go on from.
        label: What the user calls these rows.

    Raises:
        UserError: A column holds no value, or an operator can't learn from what it holds.
    """
    frame = engine.source(frame)
    windowed = any(step.operator.windowed for step in plan.steps)
    if only is not None and not windowed:
        frame, only = frame.filter(only), None
    old = {} if before is None else {step.number: step.state for step in before.steps}
    fitting = _Fitting(plan, frame, engine, only, old, raw_columns((*plan.inputs, *plan.fit_inputs)))
    with engine.spilling(frame) if windowed else nullcontext():
        while len(fitting.done) < len(plan.steps):
            level = fitting.settle()
            if level:
                fitting.learn(level)
    steps = tuple(fitting.done[step.number] for step in plan.steps)
    earlier = () if before is None else before.seen
    new = () if fitting.seen is None else (replace(fitting.seen, label=label),)
    for one in new:
        warn_of_twice(one, earlier)
    fitted = Fitted(Schema(plan.inputs), Schema(plan.fit_inputs), steps, dict(plan.outputs), (*earlier, *new))
    for step in steps if not fitted.outputs else ():
        if step.dropped:
            raise UserError(f"{step.operator.kind} left no column", cure="lower min_cardinality, or leave it out")
    return fitted


@dataclass
class _Fitting:
    """How far a fit has come.

    Attributes:
        only: Which rows to learn from; None: all.
        old: State of each step before, by number; empty in a first fit.
        known: Columns by reference, as far as they are fitted.
        done: Fitted steps by number.
        seen: What rows these are; None while nothing had to be learned.
    """

    plan: Plan
    frame: pl.LazyFrame
    engine: Engine
    only: pl.Expr | None
    old: Mapping[int, State]
    known: dict[str, Column]
    done: dict[int, Step] = field(default_factory=dict)
    seen: Seen | None = None

    def settle(self) -> list[PlannedStep]:
        """Finish the steps that learn nothing; give those that can learn now."""
        level = []
        for planned in self.plan.steps:
            if planned.number in self.done:
                continue
            _require_kept(planned, self.done)
            if not self.known.keys() >= set(planned.fit_reads.values()):
                continue
            if planned.operator.state_type is State:
                self._finish(planned, State())
            else:
                level.append(planned)
        return level

    def learn(self, level: Sequence[PlannedStep]) -> None:
        """One pass: the statistics of every operator of the level, then their states."""
        groups = list(self._groups(level))
        asked: dict[int, Statistics] = {}
        heads = [] if self.seen else [look(self._rows())]
        for group in groups:
            wide = self._wide(group)
            asked |= {step.number: self._ask(step, wide) for step in group}
            heads.append(wide.select(_scalars(group, asked)))
        tables = {(number, key): table for number, one in asked.items() for key, table in one.tables.items()}
        first, rest = _cut(self.engine.compute([*heads, *tables.values()]), len(heads))
        found = dict(zip(tables, rest, strict=True))
        states: list[State] = []
        for group, head in zip(groups, first[-len(groups) :], strict=True):
            scalars = head.row(0, named=True)
            states += [self._learn_one(step, asked[step.number], scalars, found) for step in group]
        self.seen = self.seen or seen(first[0], states)

    def _rows(self) -> pl.LazyFrame:
        """The rows to learn from, as they were given."""
        return self.frame if self.only is None else self.frame.filter(self.only)

    def _groups(self, level: Sequence[PlannedStep]) -> Iterator[list[PlannedStep]]:
        """The steps of a level that work on the same rows."""
        found: dict[tuple[int, ...], list[PlannedStep]] = {}
        for step in level:
            found.setdefault(_scope(step, self.plan), []).append(step)
        yield from found.values()

    def _wide(self, steps: Sequence[PlannedStep]) -> pl.LazyFrame:
        """The rows with every column that these steps read."""
        ports = {port for step in steps for port in step.fit_reads.values()}
        chosen, wanted = needed(ports, [self.done[number] for number in sorted(self.done)])
        planned = (*(step.planned for step in chosen), *steps)
        numbered = needs_row([step.operator for step in planned], self.known.values(), self.engine)
        flagged = self.only is not None
        training = pl.lit(value=True) if self.only is None else self.only
        inputs = (*self.plan.inputs, *self.plan.fit_inputs)
        opened = partial(open_wide, self.frame, inputs, training=training, numbered=numbered, flagged=flagged)
        opened = partial(opened, cast_lists=self.engine.ticks)
        # The order of rows changes no statistic.
        wide = apply_steps(opened(wanted), chosen, self.engine, opened, ordered=False)
        return wide.filter(pl.col(TRAINED)) if flagged else wide

    def _ask(self, step: PlannedStep, wide: pl.LazyFrame) -> Statistics:
        columns = {name: self.known[port].renamed(name) for name, port in step.fit_reads.items()}
        wired = wiring(step.fit_reads, columns, {}, self.engine, ordered=False)
        return step.operator.statistics(wide, step.columns(self.known), wired)

    def _learn_one(
        self,
        step: PlannedStep,
        asked: Statistics,
        scalars: Mapping[str, Any],
        found: Mapping[tuple[int, str], pl.DataFrame],
    ) -> State:
        """What a step learns from these rows alone; what it knew before is merged into its final state."""
        columns, old = step.columns(self.known), self.old.get(step.number)
        if old is None:
            _require_values(step, scalars)
        elif scalars[_ROWS] == 0:
            self._finish(step, old)
            return State()
        collected = Collected(
            {key: scalars[f"{step.number}:{key}"] for key in asked.scalars},
            {key: found[step.number, key] for key in asked.tables},
        )
        new: State = step.operator.learn(collected, columns)
        merged = new if old is None else step.operator.merge(old, new, columns)
        self._finish(step, step.operator.settle(merged))
        return new

    def _finish(self, planned: PlannedStep, state: State) -> None:
        step = planned.fitted(self.known, state)
        self.done[step.number] = step
        self.known.update(step.known)


def _scope(step: PlannedStep, plan: Plan) -> tuple[int, ...]:
    """The steps that changed the rows that a step reads."""
    scopes = scopes_of(plan.steps)
    return tuple(sorted({number for port in step.fit_reads.values() for number in scope_of(port, scopes)}))


def _cut(frames: Sequence[pl.DataFrame], place: int) -> tuple[Sequence[pl.DataFrame], Sequence[pl.DataFrame]]:
    return frames[:place], frames[place:]


def _scalars(steps: Sequence[PlannedStep], asked: Mapping[int, Statistics]) -> list[pl.Expr]:
    """Every scalar of some steps, the number of rows, and the number of values in each input."""
    ports = dict.fromkeys(port for step in steps for port in step.fit_reads.values())
    counts = [pl.col(port).count().alias(f"count:{port}") for port in ports]
    own = [value.alias(f"{step.number}:{key}") for step in steps for key, value in asked[step.number].scalars.items()]
    return [pl.len().alias(_ROWS), *counts, *own]


def _require_kept(planned: PlannedStep, done: Mapping[int, Step]) -> None:
    """Refuse to go on from a column that the fit left out."""
    for name, port in planned.fit_reads.items():
        for step in done.values():
            if port in step.dropped:
                raise UserError(
                    f"{step.operator.kind} left the column out, and {planned.operator.kind} reads it",
                    where=f"column {name}",
                    cure=f"put {step.operator.kind} last, or leave the column out of the feature",
                )


def _require_values(step: PlannedStep, scalars: Mapping[str, Any]) -> None:
    """Refuse to learn from nothing."""
    if scalars[_ROWS] == 0:
        raise UserError("there are no rows to fit on", where=f"operator {step.operator.kind}")
    for name, port in step.fit_reads.items():
        if scalars[f"count:{port}"] == 0:
            made_of, _ = split_reference(port)
            raise UserError(
                f"the column holds no value in the rows to fit on, so {step.operator.kind} can't learn from it",
                where=f"column {name}" if made_of == name else f"column {name} (from {made_of})",
                cure="leave the column out, or put fill_missing before",
            )
