"""Validation errors in the words of the person who wrote the config."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from core.errors import UserError
from core.yaml_positions import Located, Path, Place

_OWN_WORDS = {"value_error", "assertion_error", "user_error"}
"""Errors raised by our validators: the message is whole as it is."""

_PLAIN = {
    "be a valid string": "be text",
    "be a valid integer": "be a whole number",
    "be a valid number": "be a number",
    "be a valid boolean": "be true or false",
    "be a valid tuple": "be a list",
    "be a valid list": "be a list",
    "be a valid dictionary": "be a mapping",
}


@dataclass(frozen=True)
class _Fault:
    """One error: where it stands in the config.

    Attributes:
        path: As deep as the data go.
        missing: The rest of the place, when a key is not there.
        union: Length of the path at which a choice between several types was open, or None.
        kind: Type of the error.
        message: In our words.
    """

    path: Path
    missing: str | None
    union: int | None
    kind: str
    message: str


def explain(error: ValidationError, located: Located) -> UserError:
    """Give every error of a validation as one `UserError`, one line for each, in the order of the file."""
    faults = _without_other_choices([_fault(dict(one), located.data) for one in error.errors(include_url=False)])
    order = {path: number for number, path in enumerate(located.places)}
    faults = sorted(faults, key=lambda fault: order.get(fault.path, 0))
    lines = [(_place(fault, located.places), f"{_dotted(fault)}{fault.message}") for fault in faults]
    unique = list(dict.fromkeys(lines))
    if len(unique) == 1:
        return UserError(unique[0][1], where=unique[0][0])
    return UserError("\n".join(f"{where}: {what}" for where, what in unique))


def _fault(error: Mapping[str, Any], data: Any) -> _Fault:
    path: Path = ()
    missing, union = None, None
    for depth, part in enumerate(error["loc"]):
        held = isinstance(data, Mapping) and part in data
        counted = isinstance(data, Sequence) and isinstance(part, int) and part < len(data)
        if held or counted:
            path, data = (*path, part), data[part]
        elif error["type"] == "missing" and depth == len(error["loc"]) - 1:
            missing = str(part)
        elif union is None:
            union = len(path)
    return _Fault(path, missing, union, error["type"], _message(error))


def _message(error: Mapping[str, Any]) -> str:
    kind, text = error["type"], str(error["msg"])
    if kind == "missing":
        return "is missing"
    if kind in _OWN_WORDS:
        return text.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    _, should, wanted = text.partition(" should ")
    if not should:
        return text
    wanted = wanted.replace(" after validation", "").split(", unable to parse")[0]
    wanted = next((ours for theirs, ours in _PLAIN.items() if wanted.startswith(theirs)), wanted)
    return f"must {wanted}, got {_shown(error['input'])}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a mapping ({', '.join(map(str, list(value)[:3]))})"
    if value is None:
        return "nothing"
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without_other_choices(faults: Sequence[_Fault]) -> list[_Fault]:
    """Where a value could be of several types, drop what the types say that it is not meant to be."""

    def off(fault: _Fault) -> bool:
        return fault.union == len(fault.path) and not fault.missing and fault.kind.endswith("_type")

    kept = []
    for fault in faults:
        rivals = [one for one in faults if one.union is not None and one.path[: fault.union] == fault.path]
        if not off(fault) or all(off(one) for one in rivals):
            kept.append(fault)
    places = [fault.path for fault in kept]
    inner = {path[:depth] for path in places for depth in range(len(path))}
    # A list is short of the entries that are at fault themselves.
    return [fault for fault in kept if fault.kind != "too_short" or fault.path not in inner]


def _place(fault: _Fault, places: Mapping[Path, Place]) -> str:
    path = fault.path
    while path not in places and path:
        path = path[:-1]
    place = places[path]
    return place.key if fault.kind == "unknown_key" or fault.missing else place.value


def _dotted(fault: _Fault) -> str:
    parts = [str(part) for part in (*fault.path, *([fault.missing] if fault.missing else []))]
    return f"{'.'.join(parts)}: " if parts else ""
