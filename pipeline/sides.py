"""What `metrics.json` speaks of: the candidate generator, the ranker by its targets, the ranker over all items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIDES = ("retriever", "catalogue", "ranker")
_TITLES = {"catalogue": "ranker over the catalogue"}


def sides_of(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Side -> what is said of it; a further target of the ranker is a side behind it.

    Example:
        >>> list(sides_of({"ranker": {"model": "ple", "targets": {"purchase": {"model": "ple"}}}}))
        ['ranker', 'ranker purchase']
    """
    found = {}
    for side in SIDES:
        part = metrics.get(side)
        if isinstance(part, Mapping):
            found[side] = part
            found |= {f"{side} {name}": one for name, one in part.get("targets", {}).items()}
    return found


def base_of(side: str) -> str:
    """The one of SIDES that a side belongs to.

    Example:
        >>> base_of("ranker purchase")
        'ranker'
    """
    return side.partition(" ")[0]


def title_of(side: str, part: Mapping[str, Any]) -> str:
    """What a side is called.

    Example:
        >>> title_of("ranker purchase", {"target": "purchase"}), title_of("catalogue", {})
        ('ranker (purchase)', 'ranker over the catalogue')
    """
    base = base_of(side)
    target = f" ({part['target']})" if "target" in part and base == "ranker" else ""
    return f"{_TITLES.get(base, base)}{target}"
