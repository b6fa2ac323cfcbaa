"""Changes to settings from the command line: `--set train.ranker.epochs=3`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from core.errors import UserError
from core.yaml_positions import Located, Path, Place, parse


def apply(located: Located, overrides: Sequence[str]) -> Located:
    """Give the data with each change made; a changed value is placed at its `--set` instead of in the file.

    Args:
        located: Plain data.
        overrides: `path=value`; the path is dotted (a number counts into a list), the value is YAML.

    Raises:
        UserError: A change is not of this form, or its path leads through something that holds no keys.

    Example:
        >>> apply(parse("a: {b: 1}", "x.yaml"), ["a.b=2"]).data
        {'a': {'b': 2}}
    """
    data, places = copy.deepcopy(located.data), dict(located.places)
    for override in overrides:
        where = f"--set {override}"
        path, value = _split(override, where)
        data = _put(data, path, value, where)
        places = {old: place for old, place in places.items() if old[: len(path)] != path}
        places[path] = Place(where, where)
        for depth in range(1, len(path)):
            places.setdefault(path[:depth], Place(where, where))
    return Located(data, places)


def _split(override: str, where: str) -> tuple[Path, Any]:
    dotted, equals, text = override.partition("=")
    parts = dotted.strip().split(".")
    if not equals or not all(parts):
        raise UserError("this is not a change", where=where, cure="write it as --set a.b.c=value")
    return tuple(int(part) if part.isdecimal() else part for part in parts), parse(text, where).data if text else None


def _put(node: Any, path: Path, value: Any, where: str) -> Any:
    """The node with the value at the path."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(node, list):
        if not isinstance(first, int) or first >= len(node):
            raise UserError(f"{first!r} is no place in a list of {len(node)}", where=where, cure="count from 0")
        return [_put(one, rest, value, where) if index == first else one for index, one in enumerate(node)]
    if node is None:
        node = {}
    if not isinstance(node, dict):
        raise UserError(
            f"the path leads through the value {node!r}, which holds no keys",
            where=where,
            cure="set that value whole",
        )
    key = str(first)
    return {**node, key: _put(node.get(key), rest, value, where)}
