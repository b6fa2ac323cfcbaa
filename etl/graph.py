"""The graph of a workflow as people write it: `["age"] >> FillMedian() >> LogOp()`, `node + node`, `node - names`.

A node says where columns come from. Nodes are immutable and may be shared; `compile_plan` visits each once and
leaves a flat list of steps, which is all that fitting, transforming, saving and serving need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import UserError
from core.schema import Column
from core.suggest import did_you_mean
from etl.ops.base import Operator
from etl.steps import CANONICAL, RAW, Plan, PlannedStep, reference
from etl.types import canonical_dtype


@dataclass(frozen=True, eq=False)
class Node:
    """A set of columns on their way through a workflow.

    Example:
        >>> from etl.ops import FillMedian, LogOp
        >>> node = (["age"] >> FillMedian() >> LogOp()) + ["income"]
        >>> node.inputs
        ('age', 'income')
    """

    @property
    def parents(self) -> tuple[Node, ...]:
        """The nodes that this one reads."""
        return ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The raw columns that are read, each once, in order."""
        found: dict[str, None] = {}
        for node in _upstream(self):
            found.update(dict.fromkeys(node.names if isinstance(node, Selected) else ()))
        return tuple(found)

    def __rshift__(self, operator: Operator[Any]) -> Node:
        if not isinstance(operator, Operator):
            raise TypeError(f"an operator must follow `>>`, got {operator!r}")
        return Applied(self, operator)

    def __add__(self, other: Node | str | Sequence[str]) -> Node:
        return Joined((self, select(other)))

    def __radd__(self, other: str | Sequence[str]) -> Node:
        return Joined((select(other), self))

    def __sub__(self, names: str | Sequence[str]) -> Node:
        return Reduced(self, _names(names))


@dataclass(frozen=True, eq=False)
class Selected(Node):
    """Raw columns."""

    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Applied(Node):
    """An operator over the columns of a node."""

    parent: Node
    operator: Operator[Any]

    @property
    def parents(self) -> tuple[Node, ...]:
        """See `Node`."""
        return (self.parent,)


@dataclass(frozen=True, eq=False)
class Joined(Node):
    """The columns of several nodes side by side."""

    members: tuple[Node, ...]

    @property
    def parents(self) -> tuple[Node, ...]:
        """See `Node`."""
        return self.members


@dataclass(frozen=True, eq=False)
class Reduced(Node):
    """The columns of a node without some."""

    parent: Node
    dropped: tuple[str, ...]

    @property
    def parents(self) -> tuple[Node, ...]:
        """See `Node`."""
        return (self.parent,)


def select(columns: Node | str | Sequence[str]) -> Node:
    """Start a graph at raw columns; a node is given back as it is.

    Example:
        >>> select("age").inputs
        ('age',)
    """
    return columns if isinstance(columns, Node) else Selected(_names(columns))


def compile_plan(node: Node, raw: Mapping[str, Column]) -> Plan:
    """Turn a graph into steps in an order in which each can run, for data with these raw columns.

    Raises:
        UserError: A raw column is missing, a name would occur twice, or an operator can't take its columns.
    """
    compiler = _Compiler(raw)
    for one in _upstream(node):
        compiler.visit(one)
    outputs = compiler.ports[id(node)]
    if not outputs:
        raise UserError("the workflow has no output columns", cure="give it at least one feature")
    inputs = tuple(raw[name] for name in node.inputs)
    return Plan(inputs, tuple(compiler.steps), outputs)


@dataclass
class _Compiler:
    """Visits nodes, parents first, and remembers what each gives: plain name -> reference."""

    raw: Mapping[str, Column]
    steps: list[PlannedStep] = field(default_factory=list)
    ports: dict[int, dict[str, str]] = field(default_factory=dict)
    known: dict[str, Column] = field(default_factory=dict)

    def visit(self, node: Node) -> None:
        if isinstance(node, Selected):
            self.ports[id(node)] = self._select(node)
        elif isinstance(node, Applied):
            self.ports[id(node)] = self._apply(node)
        elif isinstance(node, Joined):
            self.ports[id(node)] = self._join(node)
        elif isinstance(node, Reduced):
            self.ports[id(node)] = self._reduce(node)

    def _select(self, node: Selected) -> dict[str, str]:
        for name in node.names:
            if name not in self.raw:
                told = did_you_mean(name, self.raw)
                raise UserError("the data have no such column", where=f"column {name}", cure=told)
            column = self.raw[name]
            self.known[reference(name, RAW)] = column
            self.known[reference(name, CANONICAL)] = column.with_dtype(canonical_dtype(column.dtype))
        return {name: reference(name, RAW) for name in node.names}

    def _apply(self, node: Applied) -> dict[str, str]:
        ports = self.ports[id(node.parent)]
        raw_to_canonical = {reference(name, RAW): reference(name, CANONICAL) for name in ports}
        inputs = {name: raw_to_canonical.get(port, port) for name, port in ports.items()}
        step = PlannedStep(len(self.steps) + 1, node.operator, inputs)
        columns = node.operator.outputs([self.known[port].renamed(name) for name, port in inputs.items()])
        _once([column.name for column in columns], f"operator {node.operator.kind}")
        self.steps.append(step)
        self.known.update({step.reference(column.name): column for column in columns})
        return {column.name: step.reference(column.name) for column in columns}

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


def _upstream(node: Node) -> list[Node]:
    """The node and all it reads, each once, parents first."""
    order: dict[int, Node] = {}

    def walk(one: Node) -> None:
        if id(one) not in order:
            for parent in one.parents:
                walk(parent)
            order[id(one)] = one

    walk(node)
    return list(order.values())


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    listed = (names,) if isinstance(names, str) else tuple(names)
    for name in listed:
        if not isinstance(name, str):
            raise TypeError(f"columns are given by name, got {name!r}")
    return tuple(dict.fromkeys(listed))


def _once(names: Sequence[str], where: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"two features would both be called {twice[0]}", where=where, cure="rename one of them with `rename`"
        )
