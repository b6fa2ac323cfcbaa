"""The graph of a workflow as people write it: `["age"] >> FillMedian() >> LogOp()`, `node + node`, `node - names`.

Columns can stand in groups, `[["a", "b"], "c"]`, for operators that make one thing of several columns.

A node says where columns come from. Nodes are immutable and may be shared; `etl.compiling` turns them into steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.schema import Tag
from etl.ops.base import Operator

Names = str | Sequence[str | Sequence[str]]
"""Columns by name; several in a list of their own are a group."""
Groups = tuple[tuple[str, ...], ...]


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
    def groups(self) -> Groups:
        """Columns that were written in a list of their own; an operator over this node takes each as one."""
        return ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The raw columns that are selected, each once, in order."""
        found: dict[str, None] = {}
        for node in upstream(self):
            found.update(dict.fromkeys(node.names if isinstance(node, Selected) else ()))
        return tuple(found)

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The columns that operators read beside those, each once, in order; raw unless a node before makes them."""
        return self._beside(lambda operator: operator.dependencies)

    @property
    def fit_dependencies(self) -> tuple[str, ...]:
        """The same of what only their fit reads."""
        return self._beside(lambda operator: operator.fit_dependencies)

    @property
    def operators(self) -> tuple[Operator[Any], ...]:
        """Every operator, those that others need first."""
        return tuple(node.operator for node in upstream(self) if isinstance(node, Applied))

    def _beside(self, names: Callable[[Operator[Any]], tuple[str, ...]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for operator in self.operators for name in names(operator)))

    def __rshift__(self, operator: Operator[Any]) -> Node:
        if not isinstance(operator, Operator):
            raise TypeError(f"an operator must follow `>>`, got {operator!r}")
        return Applied(self, operator.grouped(self.groups) if self.groups else operator)

    def __add__(self, other: Node | Names) -> Node:
        return Joined((self, select(other)))

    def __radd__(self, other: Names) -> Node:
        return Joined((select(other), self))

    def __sub__(self, names: str | Sequence[str]) -> Node:
        return Reduced(self, _names(names))


@dataclass(frozen=True, eq=False)
class Selected(Node):
    """Raw columns."""

    names: tuple[str, ...]
    groups: Groups = ()


@dataclass(frozen=True, eq=False)
class Tagged(Node):
    """Raw columns by what they mean; which ones, only the data tell."""

    tags: frozenset[Tag]


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

    @property
    def groups(self) -> Groups:
        """See `Node`."""
        return tuple(group for member in self.members for group in member.groups)


@dataclass(frozen=True, eq=False)
class Reduced(Node):
    """The columns of a node without some."""

    parent: Node
    dropped: tuple[str, ...]

    @property
    def parents(self) -> tuple[Node, ...]:
        """See `Node`."""
        return (self.parent,)

    @property
    def groups(self) -> Groups:
        """See `Node`."""
        kept = (tuple(name for name in group if name not in self.dropped) for group in self.parent.groups)
        return tuple(group for group in kept if group)


def select(columns: Node | Names = (), *, tags: Iterable[Tag] = ()) -> Node:
    """Start a graph at raw columns: by name, or by what they mean; a node is given back as it is.

    Args:
        columns: Names; those in a list of their own are a group.
        tags: Take every raw column that carries all of these (`Workflow(..., tags=...)` says what columns mean).

    Example:
        >>> select("age").inputs
        ('age',)
        >>> select([["a", "b"], "c"]).groups
        (('a', 'b'),)
        >>> select(tags=[Tag.USER]).inputs
        ()
    """
    if isinstance(columns, Node):
        return columns
    wanted = frozenset(tags)
    if wanted:
        meant = Tagged(wanted)
        return Joined((select(columns), meant)) if columns else meant
    listed = (columns,) if isinstance(columns, str) else tuple(columns)
    grouped = {name for one in listed if isinstance(one, list | tuple) for name in one}
    # A column that stands alone and in a group, too, is a group of its own.
    groups = tuple(_names(one) for one in listed if isinstance(one, list | tuple) or one in grouped)
    flat = [name for one in listed for name in (one if isinstance(one, list | tuple) else (one,))]
    return Selected(_names(flat), groups)


def upstream(node: Node) -> list[Node]:
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
