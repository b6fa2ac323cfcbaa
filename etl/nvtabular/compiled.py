"""A plan in NVTabular's words: its workflow, and the operator object of each of our steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.schema import Column
from etl.nvtabular.package import package
from etl.ops.base import Rows
from etl.steps import CANONICAL, RAW, Plan, PlannedStep, raw_columns, reference, split_reference


@dataclass(frozen=True)
class Compiled:
    """A workflow of NVTabular.

    Attributes:
        node: The outputs of the plan.
        operators: Number of our step -> NVTabular's operator, which a fit changes.
    """

    node: Any
    operators: Mapping[int, Any]

    def workflow(self, keep: Sequence[str] = ()) -> Any:
        """An `nvtabular.Workflow` over these operators that passes the columns `keep` on as they are."""
        nvtabular = package()
        kept = nvtabular.WorkflowNode(nvtabular.ColumnSelector(list(keep))) if keep else None
        return nvtabular.Workflow(self.node if kept is None else self.node + kept)


def compile_nvtabular(plan: Plan, scratch: Path) -> Compiled:
    """Turn a plan into operators and nodes of NVTabular.

    Args:
        plan: The steps.
        scratch: A directory of its own for each operator is made in here.

    Raises:
        UserError: A step has no counterpart there, or works on what NVTabular can't hand it; names the operator.
    """
    graph = _Graph(plan, scratch)
    for step in plan.steps:
        graph.add(step)
    for name, port in plan.outputs.items():
        if split_reference(port)[1] == RAW:
            raise _refusal("the workflow", "a column without an operator", f"column {name}")
    return Compiled(graph.node(plan.outputs), graph.operators)


@dataclass
class _Graph:
    """Nodes by the number of our step."""

    plan: Plan
    scratch: Path
    nodes: dict[int, Any] = field(default_factory=dict)
    operators: dict[int, Any] = field(default_factory=dict)
    known: dict[str, Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known.update(raw_columns((*self.plan.inputs, *self.plan.fit_inputs)))

    def add(self, step: PlannedStep) -> None:
        _require_possible(step)
        columns = step.columns(self.known)
        operator = step.operator.nvtabular(columns)
        # Two operators over one column would write the same file, and the default is the current directory.
        if hasattr(operator, "out_path"):
            operator.out_path = str(self.scratch / f"{step.number:02}")
        self.operators[step.number] = operator
        self.nodes[step.number] = self.node(step.inputs) >> operator
        self.known.update({step.reference(made.name): made for made in step.operator.outputs(columns)})

    def node(self, ports: Mapping[str, str]) -> Any:
        """One node that gives these columns."""
        places: dict[str, list[str]] = {}
        for name, port in ports.items():
            place = split_reference(port)[1]
            places.setdefault(CANONICAL if place == RAW else place, []).append(name)
        return reduce(add, (self._part(place, names) for place, names in places.items()))

    def _part(self, place: str, names: list[str]) -> Any:
        if place == CANONICAL:
            nvtabular = package()
            return nvtabular.WorkflowNode(nvtabular.ColumnSelector(names))
        whole = self.nodes[int(place)]
        made = [name for name, at in map(split_reference, self.known) if at == place]
        return whole if names == made else whole[names]


def _require_possible(step: PlannedStep) -> None:
    kind, columns = step.operator.kind, ", ".join(step.inputs)
    if step.operator.rows is not Rows.KEPT:
        raise _refusal(kind, "rows to drop or regroup while the target and the split stand beside them", columns)
    if step.operator.windowed:
        raise _refusal(kind, "the earlier rows of other splits", columns)
    for name, port in {**step.further, **step.fit_further}.items():
        if port != reference(name, CANONICAL):
            raise _refusal(kind, f"the column {name} other than as the data have it", columns)


def _refusal(kind: str, what: str, columns: str) -> UserError:
    return UserError(
        f"NVTabular can't give {kind} {what}",
        where=f"engine nvtabular, {columns}",
        cure="set `etl.engine: cpu`",
    )
