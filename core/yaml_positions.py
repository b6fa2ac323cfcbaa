"""YAML as plain data, with the line and column of each key and value.

Scalars follow YAML 1.2 (`no` is a word and `1e-3` a number), which is what people expect who write settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from core.errors import UserError

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """A key and its value in a file: `line:column`, both counted from one."""

    key: str
    value: str


@dataclass(frozen=True)
class Located:
    """Plain data and where each part of it stands."""

    data: Any
    places: Mapping[Path, Place]


class _Loader(yaml.SafeLoader):
    """The safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as the base class declares it


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9][0-9_]*", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf)|\.(nan|NaN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)))


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def parse(text: str, source: str) -> Located:
    """Read one YAML document.

    Args:
        text: The document.
        source: What to call it in an error.

    Raises:
        UserError: The text is not YAML, or a mapping holds a key twice.

    Example:
        >>> parse("a: {b: 1}", "x.yaml").places["a", "b"].value
        'x.yaml:1:8'
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Located({}, {(): Place(f"{source}:1:1", f"{source}:1:1")})
        places = {(): Place(_at(source, node), _at(source, node))} | dict(_walk(node, (), source, set()))
        data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise UserError(f"this is not valid YAML: {error.problem or error.context}", where=where) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"this is not valid YAML: {error}", where=source) from None
    finally:
        loader.dispose()
    return Located(data, places)


def _walk(node: yaml.Node, path: Path, source: str, open_nodes: set[int]) -> Iterator[tuple[Path, Place]]:
    """Every value below a node, with its path."""
    if id(node) in open_nodes:
        raise UserError("this value contains itself", where=_at(source, node))
    inside = open_nodes | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield (*path, index), Place(_at(source, child), _at(source, child))
            yield from _walk(child, (*path, index), source, inside)
    if isinstance(node, yaml.MappingNode):
        yield from _walk_mapping(node, path, source, inside)


def _walk_mapping(node: yaml.MappingNode, path: Path, source: str, inside: set[int]) -> Iterator[tuple[Path, Place]]:
    first: dict[str, str] = {}
    for key, child in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        where = _at(source, key)
        if not isinstance(key, yaml.ScalarNode):
            raise UserError("a key must be a plain word", where=where)
        if key.value in first:
            raise UserError(
                f"the key {key.value!r} occurs twice, first at {first[key.value]}",
                where=where,
                cure="remove one",
            )
        first[key.value] = where
        yield (*path, key.value), Place(where, _at(source, child))
        yield from _walk(child, (*path, key.value), source, inside)


def _at(source: str, node: yaml.Node) -> str:
    return f"{source}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
