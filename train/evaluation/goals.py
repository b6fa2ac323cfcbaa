"""Where the figures of a ranker's further targets lie: in `metrics.json` below the ranker, elsewhere as sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from train.evaluation.found import Found

_RANKER = "ranker"


def side_of(target: str) -> str:
    """The side of a further target, beside `ranker` and `retriever`.

    Example:
        >>> side_of("purchase")
        'ranker purchase'
    """
    return f"{_RANKER} {target}"


def with_further(found: Mapping[str, Found]) -> Found:
    """What was found of the first target, with what was found of the others in it.

    Args:
        found: By the name of the target, the first first.
    """
    first, *others = found
    further = {name: found[name] for name in others}
    metrics = dict(found[first].metrics)
    if further:
        metrics["targets"] = {name: one.metrics for name, one in further.items()}
    return replace(found[first], metrics=metrics, further=further)


def every(found: Mapping[str, Found]) -> dict[str, Found]:
    """All sides, those of further targets behind the ranker."""
    sides: dict[str, Found] = {}
    for side, one in found.items():
        sides |= {side: one, **{side_of(name): each for name, each in one.further.items()}}
    return sides
