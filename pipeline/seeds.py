"""What `metrics.json` says of a model that was trained from several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Seeds:
    """The figures of one split.

    Attributes:
        best: The seed that the validation split chose: its model is judged and exported as the model.
        each: Figures by seed.
        mean: Their mean.
        deviation: Their sample standard deviation (n - 1).
    """

    best: int
    each: Mapping[int, Mapping[str, float]]
    mean: Mapping[str, float]
    deviation: Mapping[str, float]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.each)


def seeds_of(part: Mapping[str, Any], split: str) -> Seeds | None:
    """The seeds of a model on a split; None where it was trained once, or the split was not judged.

    Args:
        part: What the metrics say of a side.
        split: `valid` or `test`.
    """
    told = part.get("seeds")
    if not isinstance(told, Mapping) or split not in told["mean"]:
        return None
    each = {int(seed): _numbers(figures.get(split)) for seed, figures in told["each"].items()}
    in_order = dict(sorted(each.items()))
    return Seeds(int(told["best"]), in_order, _numbers(told["mean"][split]), _numbers(told["deviation"].get(split)))


def _numbers(figures: Any) -> dict[str, float]:
    items = figures.items() if isinstance(figures, Mapping) else ()
    return {name: float(one) for name, one in items if isinstance(one, int | float) and not isinstance(one, bool)}
