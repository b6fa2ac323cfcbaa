"""Settings that are one number, or a number for each column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from core.errors import UserError
from core.suggest import did_you_mean

MOST_IDS = 2**31 - 1


def _shape(value: Any) -> str:
    return "by column" if isinstance(value, Mapping) else "number"


_Limit = Annotated[int, Field(ge=0, le=MOST_IDS)]
_Buckets = Annotated[int, Field(ge=1, le=MOST_IDS)]

Limit = Annotated[
    Annotated[_Limit, Tag("number")] | Annotated[dict[str, _Limit], Tag("by column")], Discriminator(_shape)
]
"""From 0, for every column or by column."""
Buckets = Annotated[
    Annotated[_Buckets, Tag("number")] | Annotated[dict[str, _Buckets], Tag("by column")], Discriminator(_shape)
]
"""From 1, for every column or by column."""


def amount(value: int | Mapping[str, int], names: Iterable[str], setting: str, default: int) -> int:
    """What a setting says for something that is known by these names.

    Raises:
        UserError: It says different things for different names.

    Example:
        >>> amount({"a": 3}, ["a_b", "a", "b"], "max_size", 0), amount({"c": 3}, ["a"], "max_size", 0)
        (3, 0)
    """
    if not isinstance(value, Mapping):
        return value
    found = {name: value[name] for name in names if name in value}
    if len(set(found.values())) > 1:
        told = ", ".join(f"{name}: {one}" for name, one in found.items())
        raise UserError(f"{setting} must be one number for columns of one vocabulary, got {told}")
    return next(iter(found.values()), default)


def completed(value: int | Mapping[str, int], names: Iterable[str], default: int) -> int | dict[str, int]:
    """The same setting with a number for each of these names, as NVTabular wants a mapping.

    Example:
        >>> completed({"a": 3}, ["a", "b"], 0), completed(5, ["a", "b"], 0)
        ({'a': 3, 'b': 0}, 5)
    """
    return {name: value.get(name, default) for name in names} if isinstance(value, Mapping) else value


def require_known(value: object, names: Iterable[str], setting: str) -> None:
    """Refuse a setting by column that names a column which isn't there.

    Raises:
        UserError: It does.
    """
    known = list(names)
    for name in value if isinstance(value, Mapping) else ():
        if name not in known:
            raise UserError(f"{setting} names {name}, which is none of the columns", cure=did_you_mean(name, known))
