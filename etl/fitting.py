"""Fitting a plan: all statistics of one level in one pass over the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from core.errors import UserError
from core.schema import Column, Schema
from etl.fitted import Fitted
from etl.ops.base import Collect, Collected, State, Statistics, Wiring
from etl.steps import CANONICAL, Plan, PlannedStep, Step, needed, reference, split_reference
from etl.types import canonical_dtype
from etl.wide import open_wide

if TYPE_CHECKING:
    from etl.engines.base import Engine

_ROWS = "rows"


def fit(plan: Plan, frame: pl.LazyFrame, engine: Engine | None = None) -> Fitted:
    """Learn the state of every step from the rows of a frame.

    A level is the set of operators whose inputs are known; each level costs one pass over the rows.

    Raises:
        UserError: A column holds no value, or an operator can't learn from what it holds.
    """
    known = {
        reference(column.name, CANONICAL): column.with_dtype(canonical_dtype(column.dtype))
        for column in plan.inputs
    }
    done: dict[int, Step] = {}
    while len(done) < len(plan.steps):
        ready = _settle(plan, known, done)
        if ready:
            _fit_level(ready, frame, plan.inputs, known, done, engine)
    steps = tuple(done[step.number] for step in plan.steps)
    return Fitted(Schema(plan.inputs), steps, dict(plan.outputs))


def _settle(plan: Plan, known: dict[str, Column], done: dict[int, Step]) -> list[PlannedStep]:
    """Finish the steps that learn nothing; give those that can learn now."""
    ready = []
    for planned in plan.steps:
        if planned.number in done or not known.keys() >= set(planned.inputs.values()):
            continue
        if planned.operator.state_type is State:
            _finish(planned, State(), known, done)
        else:
            ready.append(planned)
    return ready


def _finish(planned: PlannedStep, state: State, known: dict[str, Column], done: dict[int, Step]) -> None:
    step = planned.fitted(known, state)
    done[step.number] = step
    known.update(step.known)


def _fit_level(
    ready: Sequence[PlannedStep],
    frame: pl.LazyFrame,
    inputs: Sequence[Column],
    known: dict[str, Column],
    done: dict[int, Step],
    engine: Engine | None,
) -> None:
    """One pass: the statistics of every operator of the level, then their states."""
    collect = _collect_with(engine)
    wide = _wide(ready, frame, inputs, done, engine)
    asked = {step.number: _ask(step, wide, known, engine) for step in ready}
    frames, names = _plans(asked, ready, wide)
    results = dict(zip(names, collect(frames), strict=True))
    scalars = results[("", "")].row(0, named=True)
    for step in ready:
        _require_values(step, scalars)
        own = asked[step.number]
        collected = Collected(
            {key: scalars[f"{step.number}:{key}"] for key in own.scalars},
            {key: results[(str(step.number), key)] for key in own.tables},
        )
        columns = [known[port].renamed(name) for name, port in step.inputs.items()]
        _finish(step, step.operator.learn(collected, columns), known, done)


def _wide(
    ready: Sequence[PlannedStep],
    frame: pl.LazyFrame,
    inputs: Sequence[Column],
    done: Mapping[int, Step],
    engine: Engine | None,
) -> pl.LazyFrame:
    """The rows with every column that the level reads."""
    ports = {port for step in ready for port in step.inputs.values()}
    steps, wanted = needed(ports, [done[number] for number in sorted(done)])
    wide = open_wide(frame, inputs, wanted)
    host = None if engine is None or engine.ticks else engine.collect
    for step in steps:
        # The order of rows changes no statistic.
        wide = step.apply(wide, ordered=False, collect=host)
    return wide


def _ask(
    step: PlannedStep, wide: pl.LazyFrame, known: Mapping[str, Column], engine: Engine | None
) -> Statistics:
    columns = [known[port].renamed(name) for name, port in step.inputs.items()]
    ordered = engine is None or engine.ordered
    return step.operator.statistics(wide, columns, Wiring(step.inputs, {}, ordered))


def _plans(
    asked: Mapping[int, Statistics], ready: Sequence[PlannedStep], wide: pl.LazyFrame
) -> tuple[list[pl.LazyFrame], list[tuple[str, str]]]:
    """One frame with every scalar, and one for each table: the frames and their (step, key)."""
    ports = dict.fromkeys(port for step in ready for port in step.inputs.values())
    scalars = [pl.len().alias(_ROWS), *(pl.col(port).count().alias(f"count:{port}") for port in ports)]
    frames, names = [], []
    for number, statistics in asked.items():
        scalars += [value.alias(f"{number}:{key}") for key, value in statistics.scalars.items()]
        frames += list(statistics.tables.values())
        names += [(str(number), key) for key in statistics.tables]
    return [wide.select(scalars), *frames], [("", ""), *names]


def _require_values(step: PlannedStep, scalars: Mapping[str, Any]) -> None:
    """Refuse to learn from nothing."""
    if scalars[_ROWS] == 0:
        raise UserError("there are no rows to fit on", where=f"operator {step.operator.kind}")
    for name, port in step.inputs.items():
        if scalars[f"count:{port}"] == 0:
            raw, _ = split_reference(port)
            raise UserError(
                f"the column holds no value in the rows to fit on, so {step.operator.kind} can't learn from it",
                where=f"column {raw if raw == name else f'{name} (from {raw})'}",
                cure="leave the column out, or put fill_missing before",
            )


def _collect_with(engine: Engine | None) -> Collect:
    if engine is not None:
        return engine.collect
    from etl.engines.cpu import CpuEngine

    return CpuEngine().collect
