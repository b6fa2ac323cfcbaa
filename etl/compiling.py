"""From the graph of a workflow to its steps: each node is visited once, and what is left is a flat list.

The steps are all that fitting, transforming, saving and serving need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import UserError
from core.schema import Column, Tag
from core.suggest import did_you_mean
from etl.graph import Applied, Joined, Node, Reduced, Selected, Tagged, upstream
from etl.ops.base import Operator, Rows
from etl.steps import CANONICAL, RAW, Plan, PlannedStep, reference, scope_of, scopes_of, split_reference
from etl.types import canonical_dtype


def compile_plan(node: Node, raw: Mapping[str, Column]) -> Plan:
    """Turn a graph into steps in an order in which each can run, for data with these raw columns.

    Raises:
        UserError: A raw column is missing, a name would occur twice, or an operator can't take its columns.
    """
    compiler = _Compiler(raw)
    for one in upstream(node):
        compiler.visit(one)
    outputs = compiler.ports[id(node)]
    if not outputs:
        raise UserError("the workflow has no output columns", cure="give it at least one feature")
    _one_table(outputs, scopes_of(compiler.steps), compiler.steps, "the workflow's outputs")
    _require_drops_used(outputs, compiler.steps)
    inputs = compiler.raw_inputs(list(outputs.values()), lambda step: step.reads)
    fit_inputs = compiler.raw_inputs([], lambda step: step.fit_reads)
    return Plan(inputs, tuple(one for one in fit_inputs if one not in inputs), tuple(compiler.steps), outputs)


@dataclass
class _Compiler:
    """Visits nodes, parents first, and remembers what each gives: plain name -> reference."""

    raw: Mapping[str, Column]
    steps: list[PlannedStep] = field(default_factory=list)
    ports: dict[int, dict[str, str]] = field(default_factory=dict)
    known: dict[str, Column] = field(default_factory=dict)

    def visit(self, node: Node) -> None:
        if isinstance(node, Selected):
            self.ports[id(node)] = self._select(node.names)
        elif isinstance(node, Tagged):
            self.ports[id(node)] = self._select(self._meaning(node.tags))
        elif isinstance(node, Applied):
            self.ports[id(node)] = self._apply(node)
        elif isinstance(node, Joined):
            self.ports[id(node)] = self._join(node)
        elif isinstance(node, Reduced):
            self.ports[id(node)] = self._reduce(node)

    def raw_inputs(self, ports: Sequence[str], reads: Callable[[PlannedStep], Mapping[str, str]]) -> tuple[Column, ...]:
        """The raw columns that these references and the steps read, in the order in which they were met."""
        read = {*ports, *(port for step in self.steps for port in reads(step).values())}
        return tuple(self.raw[name] for name in self.raw_names if read.intersection(_references(name)))

    @property
    def raw_names(self) -> list[str]:
        """Names of the raw columns that were met."""
        return [name for port in self.known for name, place in [split_reference(port)] if place == RAW]

    def _select(self, names: Sequence[str]) -> dict[str, str]:
        for name in names:
            self._meet(name, "")
        return {name: reference(name, RAW) for name in names}

    def _meaning(self, tags: frozenset[Tag]) -> list[str]:
        found = [name for name, column in self.raw.items() if column.tags.issuperset(tags)]
        if not found:
            told = ", ".join(sorted(tags))
            raise UserError(f"no column is tagged {told}", cure="give Workflow(..., tags={column: {tag, ...}})")
        return found

    def _meet(self, name: str, why: str) -> None:
        if name not in self.raw:
            told = did_you_mean(name, self.raw)
            raise UserError(f"the data have no such column{why}", where=f"column {name}", cure=told)
        column = self.raw[name]
        self.known[reference(name, RAW)] = column
        self.known[reference(name, CANONICAL)] = column.with_dtype(canonical_dtype(column.dtype))

    def _apply(self, node: Applied) -> dict[str, str]:
        operator, ports = node.operator, self.ports[id(node.parent)]
        raw_to_canonical = {reference(name, RAW): reference(name, CANONICAL) for name in ports}
        inputs = {name: raw_to_canonical.get(port, port) for name, port in ports.items()}
        further = self._further(operator.dependencies, inputs, operator.kind)
        fit_further = self._further(operator.fit_dependencies, inputs, operator.kind)
        step = PlannedStep(len(self.steps) + 1, operator, inputs, further, fit_further)
        _one_table(step.fit_reads, scopes_of(self.steps), self.steps, f"operator {operator.kind}")
        taken = step.columns(self.known)
        _require_singles(operator, taken)
        columns = operator.outputs(taken)
        _once([column.name for column in columns], f"operator {operator.kind}")
        self.steps.append(step)
        self.known.update({step.reference(column.name): column for column in columns})
        return {column.name: step.reference(column.name) for column in columns}

    def _further(self, names: Sequence[str], inputs: Mapping[str, str], kind: str) -> dict[str, str]:
        """Where the columns lie that an operator reads beside its own: in the node before it, else in the data."""
        found = {}
        for name in names:
            if name not in inputs:
                self._meet(name, f", which {kind} reads")
            found[name] = inputs.get(name, reference(name, CANONICAL))
        return found

    def _join(self, node: Joined) -> dict[str, str]:
        ports = [port for member in node.members for port in self.ports[id(member)].items()]
        # The same column reached on two ways is one column.
        distinct = list(dict.fromkeys(ports))
        _once([name for name, _ in distinct], "workflow")
        return dict(distinct)

    def _reduce(self, node: Reduced) -> dict[str, str]:
        ports = self.ports[id(node.parent)]
        for name in node.dropped:
            if name not in ports:
                raise UserError(f"there is no column {name} to leave out", cure=did_you_mean(name, ports))
        return {name: port for name, port in ports.items() if name not in node.dropped}


def _require_singles(operator: Operator[Any], columns: Sequence[Column]) -> None:
    lists = [] if operator.takes_lists else [column.name for column in columns if column.is_list]
    if lists:
        cure = "use an operator that takes lists (categorify, hash_bucket, list_slice, list_columns)"
        told = f"{operator.kind} takes single values, and the column holds lists"
        raise UserError(told, where=f"column {lists[0]}", cure=cure)


def _references(name: str) -> set[str]:
    return {reference(name, RAW), reference(name, CANONICAL)}


def _one_table(
    ports: Mapping[str, str], scopes: Mapping[int, tuple[int, ...]], steps: Sequence[PlannedStep], where: str
) -> None:
    """Refuse columns of different tables side by side: what regroups rows starts a new one."""
    regroups = {step.number: step.operator.kind for step in steps if step.operator.rows is Rows.REGROUPED}
    tables: dict[int, str] = {}
    for name, port in ports.items():
        tables.setdefault(max(regroups.keys() & set(scope_of(port, scopes)), default=0), name)
    if len(tables) > 1:
        (_, one), (last, other) = sorted(tables.items())[-2:]
        raise UserError(
            f"{one} and {other} can't stand side by side: {regroups[last]} made other rows for {other}",
            where=where,
            cure=f"take every output from what follows {regroups[last]}",
        )


def _require_drops_used(outputs: Mapping[str, str], steps: Sequence[PlannedStep]) -> None:
    """Refuse a step that drops rows, but of whose columns no output is made: nothing would run it."""
    wanted = set(outputs.values())
    for step in reversed(steps):
        made = {port for port in wanted if split_reference(port)[1] == str(step.number)}
        if made:
            wanted.update(step.reads.values())
        elif step.operator.rows is Rows.DROPPED:
            raise UserError(
                f"{step.operator.kind} would drop no row, since no output is made of its columns",
                where=f"column {', '.join(step.inputs)}",
                cure="keep one of them, or put the other features behind it",
            )


def _once(names: Sequence[str], where: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"two features would both be called {twice[0]}", where=where, cure="rename one of them with `rename`"
        )
