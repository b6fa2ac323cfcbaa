"""What a formula becomes: a tree of four kinds of nodes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True)
class Name:
    """A column."""

    name: str


@dataclass(frozen=True)
class Text:
    """A text in quotes; only what compares a column of strings with texts has some."""

    value: str


@dataclass(frozen=True)
class Call:
    """A function or an operator over other nodes."""

    function: str
    arguments: tuple[Tree, ...]


Tree = Number | Name | Text | Call


def names(tree: Tree) -> tuple[str, ...]:
    """The columns of a formula, each once, in order.

    Example:
        >>> names(Call("add", (Name("b"), Call("mul", (Name("a"), Name("b"))))))
        ('b', 'a')
    """
    if isinstance(tree, Name):
        return (tree.name,)
    below = [name for argument in getattr(tree, "arguments", ()) for name in names(argument)]
    return tuple(dict.fromkeys(below))


def functions(tree: Tree) -> frozenset[str]:
    """The functions and operators of a formula.

    Example:
        >>> sorted(functions(Call("add", (Name("b"), Call("mul", (Name("a"), Name("b")))))))
        ['add', 'mul']
    """
    if not isinstance(tree, Call):
        return frozenset()
    return frozenset({tree.function}).union(*(functions(argument) for argument in tree.arguments))
