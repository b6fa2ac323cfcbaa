"""Going on from an earlier fit: is it the same workflow, and do the types of the new rows still fit?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import Column, DType
from etl.ops.base import Operator
from etl.ops.given import Given
from etl.steps import Plan, PlannedStep
from etl.types import FLOATS, INTEGERS, TIMES, check_drift

_WIDTHS = ((DType.INT8, DType.INT16, DType.INT32, DType.INT64), (DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64))


def continued(earlier: Plan, schema: pl.Schema, plan: Plan | None = None) -> Plan:
    """The plan of an update: that of the earlier fit, with types that hold its rows and the new ones.

    Args:
        earlier: Of the earlier fit.
        schema: Of the new rows.
        plan: As the features are written now, for the new rows; what columns mean (tags) is taken from it.

    Raises:
        UserError: The features are others now, or a column is of a type that does not go with the earlier one.
    """
    if plan is not None:
        require_same(earlier, plan)
    given = {column.name: column for column in (*plan.inputs, *plan.fit_inputs)} if plan else {}

    def widened(columns: Sequence[Column]) -> tuple[Column, ...]:
        return tuple(_widened(column, given.get(column.name, column), schema) for column in columns)

    # Tables that are given to an operator may have grown since: those that are given now count.
    steps = earlier.steps if plan is None else plan.steps
    return replace(earlier, steps=steps, inputs=widened(earlier.inputs), fit_inputs=widened(earlier.fit_inputs))


def require_same(earlier: Plan, plan: Plan) -> None:
    """Check that two plans do the same.

    Raises:
        UserError: They don't; names the first difference.
    """
    for told in _differences(earlier, plan):
        raise UserError(
            f"not those of the earlier workflow: {told}",
            where="features",
            cure="write the features as they were, or fit all rows anew without the earlier workflow",
        )


def wider(was: DType, now: DType) -> DType:
    """A type that holds the values of both.

    Example:
        >>> wider(DType.INT8, DType.INT16).value, wider(DType.UINT8, DType.INT8).value
        ('int16', 'int64')
    """
    if was == now:
        return was
    if was in FLOATS or now in FLOATS:
        return DType.FLOAT64
    if was in TIMES:
        return DType.DATETIME
    for family in _WIDTHS:
        if was in family and now in family:
            return family[max(family.index(was), family.index(now))]
    return DType.INT64 if was in INTEGERS | {DType.BOOL} else was


def _widened(was: Column, now: Column, schema: pl.Schema) -> Column:
    if was.name not in schema:
        return replace(now, dtype=was.dtype)  # whoever reads the rows says that it is missing
    return replace(now, dtype=wider(was.dtype, check_drift(was, schema[was.name])))


def _differences(earlier: Plan, plan: Plan) -> Iterator[str]:
    """What is written otherwise, in words."""
    for name in plan.outputs:
        if name not in earlier.outputs:
            yield f"{name} is new"
    for name in earlier.outputs:
        if name not in plan.outputs:
            yield f"{name} is gone"
    for was, now in zip(earlier.steps, plan.steps, strict=False):
        yield from _between(was, now)
    if len(earlier.steps) != len(plan.steps):
        yield f"it had {len(earlier.steps)} operators, now there are {len(plan.steps)}"
    if dict(earlier.outputs) != dict(plan.outputs):
        yield "its outputs are made otherwise"
    if list(earlier.outputs) != list(plan.outputs):
        yield "its outputs stand in another order"


def _between(was: PlannedStep, now: PlannedStep) -> Iterator[str]:
    columns = ", ".join(now.inputs)
    if type(was.operator) is not type(now.operator):
        yield f"{columns} passes through {now.operator.kind}, where it was {was.operator.kind}"
        return
    for name, before, after in _settings(was.operator, now.operator):
        yield f"{now.operator.kind} of {columns} has {name} {after}, where it was {before}"
    if dict(was.fit_reads) != dict(now.fit_reads):
        yield f"{now.operator.kind} reads {', '.join(now.fit_reads)}, where it read {', '.join(was.fit_reads)}"


def _settings(was: Operator[Any], now: Operator[Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in type(now).model_fields:
        before, after = getattr(was, name), getattr(now, name)
        if before != after and not (isinstance(before, Given) and isinstance(after, Given)):
            yield name, before, after
