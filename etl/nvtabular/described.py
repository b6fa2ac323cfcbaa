"""A plan in NVTabular's words: its operators with their settings, and where each takes its columns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.schema import Column
from etl.nvtabular.by_key import beside, renamed, why_not
from etl.nvtabular.key_states import BESIDE
from etl.ops.base import Operator, Rows
from etl.ops.nvt import Described, describing
from etl.steps import CANONICAL, RAW, Plan, PlannedStep, raw_columns, reference, split_reference

Groups = Sequence[Sequence[str]]
Parts = list[list[Any]]
"""See `etl.nvtabular.worker`."""


def describe(plan: Plan, scratch: Path) -> tuple[list[dict[str, Any]], Parts]:
    """The steps and the outputs of a plan, as the worker takes them.

    Args:
        plan: The steps.
        scratch: Each operator gets a directory of its own in here.

    Raises:
        UserError: A step has no counterpart there, or needs what NVTabular can't give it; names the operator.
    """
    graph = _Graph(plan, scratch)
    for step in plan.steps:
        graph.add(step)
    for name, port in plan.outputs.items():
        if split_reference(port)[1] == RAW:
            raise refusal("the column", "no operator is applied to it", name)
    return graph.steps, graph.parts(plan.outputs)


@dataclass
class _Graph:
    """How far the plan is described."""

    plan: Plan
    scratch: Path
    steps: list[dict[str, Any]] = field(default_factory=list)
    known: dict[str, Column] = field(default_factory=dict)
    wider: set[str] = field(default_factory=set)
    """Steps that give more there than they declare: the parts of a combination come along with it."""

    def __post_init__(self) -> None:
        self.known.update(raw_columns((*self.plan.inputs, *self.plan.fit_inputs)))

    def add(self, step: PlannedStep) -> None:
        columns = step.columns(self.known)
        _require_possible(step, columns)
        self.steps.append(self.step(step, step.operator, columns, str(step.number)))
        more = beside(step.operator)
        if more is not None:
            self.steps.append({**self.step(step, more, columns, f"{step.number} {BESIDE}"), "beside": True})
        if getattr(step.operator, "groups", ()):
            self.wider.add(str(step.number))
        self.known.update({step.reference(made.name): made for made in step.operator.outputs(columns)})

    def step(
        self, step: PlannedStep, operator: Operator[Any], columns: Sequence[Column], number: str
    ) -> dict[str, Any]:
        """A request to the worker; what only a fit reads comes to an operator there without being asked for."""
        asked = {name: port for name, port in step.inputs.items() if name not in operator.fit_dependencies}
        return {
            "number": number,
            **_plain_call(operator, columns),
            "inputs": self.parts(asked, getattr(operator, "groups", ())),
            "renamed": renamed(operator, columns),
            "out_path": str(self.scratch / number.replace(" ", "-")),
        }

    def parts(self, ports: Mapping[str, str], groups: Groups = ()) -> Parts:
        """Columns by the place that they come from; those of a group in a list of their own, as there."""
        places: dict[str, list[str]] = {}
        for name, port in ports.items():
            place = split_reference(port)[1]
            places.setdefault("" if place in {RAW, CANONICAL} else place, []).append(name)
        if groups:
            return [[place, _nested(names, groups)] for place, names in places.items()]
        return [[place, None if self._is_all(place, names) else names] for place, names in places.items()]

    def _is_all(self, place: str, names: list[str]) -> bool:
        made = [name for name, at in map(split_reference, self.known) if at == place]
        return place not in self.wider and made == names


def _nested(names: Sequence[str], groups: Groups) -> list[Any]:
    grouped = {name for group in groups for name in group}
    # A group of one is a column that stands in another group, too.
    lists = [list(group) if len(group) > 1 else group[0] for group in groups if set(group) <= set(names)]
    return [*lists, *(name for name in names if name not in grouped)]


def _require_possible(step: PlannedStep, given: Sequence[Column]) -> None:
    operator, columns = step.operator, ", ".join(step.inputs)
    if operator.rows is not Rows.KEPT:
        raise refusal(operator.kind, "it changes the rows, and the target and the split would stay", columns)
    if operator.windowed:
        raise refusal(operator.kind, "it looks at earlier rows, and NVTabular sees one split at a time", columns)
    grouped = {name for group in getattr(operator, "groups", ()) for name in group}
    if len({split_reference(step.inputs[name])[1] for name in grouped}) > 1:
        raise refusal(operator.kind, "the columns of its groups come from different operators", columns)
    why = why_not(operator, given)
    if why is not None:
        raise refusal(operator.kind, why, columns)
    for name, port in {**step.further, **step.fit_further}.items():
        if port != reference(name, CANONICAL):
            raise refusal(operator.kind, f"it reads {name}, which another operator has changed", columns)


def refusal(kind: str, why: str, columns: str) -> UserError:
    """An operator can't run there."""
    return UserError(
        f"{kind} can't be handed to NVTabular: {why}",
        where=f"engine nvtabular, {columns}",
        cure="leave it out, or set `etl.engine: cpu`",
    )


def _plain_call(operator: Operator[Any], columns: Sequence[Column]) -> dict[str, Any]:
    """An operator of NVTabular as JSON holds it."""
    try:
        with describing():
            theirs = operator.nvtabular(columns)
    except ImportError:
        # What it would be made of is a frame of pandas or a matrix of SciPy.
        theirs = None
    if isinstance(theirs, Described):
        call = {"name": theirs.name, "args": list(theirs.args), "kwargs": dict(theirs.kwargs)}
        if _is_plain(call):
            return call
    raise refusal(operator.kind, "it holds Python objects", ", ".join(column.name for column in columns))


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    return value is None or isinstance(value, bool | int | float | str)
