"""A fitted workflow as it is served: one row at a time, without the rows around it.

Steps that look at other rows (the history of a user) can't run there; whoever asks gives their outputs as inputs.
Steps that drop rows let every row pass: who asks for a score gets one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import polars as pl

from core.errors import UserError
from core.schema import Column, Schema, Tag
from etl.engines.base import Engine
from etl.engines.cpu import CpuEngine
from etl.fitted import Fitted
from etl.narrow import apply_steps
from etl.ops.base import Rows, Serving
from etl.ops.windows.base import Windowed
from etl.steps import CANONICAL, RAW, PlannedStep, Step, needed, reference, split_reference
from etl.wide import close_wide, open_wide

SIDES = frozenset({Tag.USER, Tag.ITEM, Tag.CONTEXT})


def for_serving(fitted: Fitted) -> Fitted:
    """The part of a workflow that maps one row to its features; its `input_schema` says what to give.

    Raises:
        UserError: An operator can't be served; names it and its columns.

    Example:
        >>> from etl.ops import LogOp
        >>> from etl.workflow import Workflow
        >>> frame = pl.DataFrame({"age": [20, 30]})
        >>> for_serving(Workflow(["age"] >> LogOp()).fit(frame)).input_schema.names
        ('age',)
    """
    steps, _ = needed(fitted.outputs.values(), fitted.steps)
    serving = _Serving(fitted)
    for step in steps:
        serving.visit(step)
    return serving.result()


def serving_rows(
    fitted: Fitted, frame: pl.LazyFrame, keep: Sequence[str] = (), engine: Engine | None = None
) -> pl.LazyFrame:
    """Raw rows as a caller would give them: what `for_serving` reads, made of all rows of the frame.

    What windows make is given as it is, not rounded to float32 as the outputs of a workflow are.

    Args:
        fitted: The workflow.
        frame: Raw rows, with those that windows look at.
        keep: Further columns of the frame to pass on.
        engine: What will run the query.
    """
    given = given_columns(fitted)
    raw = [name for name in for_serving(fitted).input_schema.names if name not in given]
    kept = tuple(dict.fromkeys((*keep, *raw)))
    if not given:
        return frame.select(kept)
    runner = engine or CpuEngine()
    steps, wanted = needed(given.values(), fitted.steps)
    opened = partial(open_wide, frame, fitted.input_schema.columns, numbered=True)
    wide = apply_steps(opened(wanted, kept), steps, runner, opened, ordered=runner.ordered)
    return close_wide(wide, ((name, pl.col(port)) for name, port in given.items()), kept)


def given_columns(fitted: Fitted) -> dict[str, str]:
    """Outputs that a caller gives: plain name -> reference.

    Raises:
        UserError: Two of them, or one and a raw column, have the same name.
    """
    steps, wanted = needed(fitted.outputs.values(), fitted.steps)
    found: dict[str, str] = {}
    for step in steps:
        if step.operator.serving is Serving.CALLER:
            for name, port in step.references.items():
                if port in wanted:
                    _require_new(name, {*found, *fitted.input_schema.names}, step)
                    found[name] = port
    return found


def _require_new(name: str, taken: set[str], step: Step) -> None:
    if name in taken:
        raise UserError(
            f"whoever asks for a score gives {name}, which {step.operator.kind} makes, but another input has that name",
            where=f"column {name}",
            cure="give it another name with `rename` on the raw column, or with the operator's own setting",
        )


def _belonging(column: Column, step: Step) -> Column:
    """An output that a caller gives, with the side whose events it is made of: a user's last price is the user's."""
    operator = step.operator
    owners = operator.owners if isinstance(operator, Windowed) else ()
    if not owners:
        return column
    shared = frozenset.intersection(*(step.reads[name].tags for name in owners)) & SIDES
    return replace(column, tags=column.tags - SIDES | (shared or {Tag.CONTEXT}))


@dataclass
class _Serving:
    """Rewires the steps that stay; a reference that was made by one that goes points to what stands for it."""

    fitted: Fitted
    moved: dict[str, str] = field(default_factory=dict)
    given: dict[str, Column] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def visit(self, step: Step) -> None:
        operator = step.operator.served()
        if operator.serving is Serving.NEVER:
            names = ", ".join(column.name for column in step.columns)
            raise UserError(
                f"{operator.kind} can't be served row by row",
                where=f"column {names}",
                cure="leave it out of a workflow that is exported",
            )
        if operator.serving is Serving.CALLER:
            for column in step.outputs:
                self.given[column.name] = _belonging(column, step)
                self.moved[step.references[column.name]] = reference(column.name, CANONICAL)
        elif operator.rows is Rows.DROPPED:
            for name, port in step.inputs.items():
                self.moved[step.references[name]] = self._now(port)
        else:
            planned = step.planned
            wires = [self._rewired(one) for one in (planned.inputs, planned.further)]
            self.steps.append(Step(PlannedStep(step.number, operator, *wires), step.reads, step.state))

    def result(self) -> Fitted:
        names = given_columns(self.fitted)
        outputs = self._rewired(self.fitted.outputs)
        ports = {*outputs.values(), *(port for step in self.steps for port in step.planned.reads.values())}
        raw = {name for name, place in map(split_reference, ports) if place in {RAW, CANONICAL}}
        own = [column for column in self.fitted.input_schema if column.name in raw]
        given = [self.given[name] for name in names]
        return Fitted(Schema((*own, *given)), Schema(()), tuple(self.steps), outputs, self.fitted.seen)

    def _now(self, port: str) -> str:
        return self.moved.get(port, port)

    def _rewired(self, ports: Mapping[str, str]) -> dict[str, str]:
        return {name: self._now(port) for name, port in ports.items()}
