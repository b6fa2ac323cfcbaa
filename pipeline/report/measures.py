"""What a measure is called, and which way is better."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A measure.

    Attributes:
        label: Its name on the page.
        note: Which way is better, in words; "" where neither is.
        sign: 1 when higher is better, -1 when lower is, 0 when neither; `target` overrules it.
        target: The best value, for measures that can be too high and too low.
    """

    label: str
    note: str = ""
    sign: int = 0
    target: float | None = None

    @property
    def arrow(self) -> str:
        """Which way is better, as one sign."""
        if self.target is not None:
            return f"\N{RIGHTWARDS ARROW}{self.target:g}"
        return {1: "\N{UPWARDS ARROW}", -1: "\N{DOWNWARDS ARROW}", 0: ""}[self.sign]

    def merit(self, value: float) -> float | None:
        """A number that grows with how good the value is; None where no value is better than another."""
        if math.isnan(value) or (self.sign == 0 and self.target is None):
            return None
        return self.sign * value if self.target is None else -abs(value - self.target)


def _higher(label: str) -> Measure:
    return Measure(label, "higher is better", 1)


def _lower(label: str) -> Measure:
    return Measure(label, "lower is better", -1)


MEASURES = {
    "auc": _higher("AUC"),
    "gauc": _higher("Grouped AUC"),
    "logloss": _lower("Log loss"),
    "normalised_entropy": _lower("Normalised entropy"),
    "calibration": Measure("Calibration", "best at 1", target=1.0),
    "ece": _lower("Calibration error"),
    "accuracy": _higher("Accuracy"),
    "recall": _higher("Recall"),
    "capped_recall": _higher("Capped recall"),
    "ndcg": _higher("NDCG"),
    "hr": _higher("Hit rate"),
    "mrr": _higher("MRR"),
    "map": _higher("MAP"),
    "precision": _higher("Precision"),
    "coverage": Measure("Coverage", "of the catalogue"),
    "sampled_hr": _higher("Sampled hit rate"),
    "sampled_ndcg": _higher("Sampled NDCG"),
    "sampled_mrr": _higher("Sampled MRR"),
}
"""In the order in which the page shows them."""


def measure(name: str) -> Measure:
    """The measure of a name such as `auc` or `recall@10`; an unknown one is shown as it is, without a judgement.

    Example:
        >>> measure("ndcg@10").label
        'NDCG@10'
    """
    base, at, k = name.partition("@")
    known = MEASURES.get(base)
    return Measure(known.label + at + k, known.note, known.sign, known.target) if known else Measure(name)


def place(name: str) -> tuple[int, int]:
    """Where a measure stands in a table: by kind, then by list length.

    Example:
        >>> sorted(["ndcg@10", "recall@50", "recall@10"], key=place)
        ['recall@10', 'recall@50', 'ndcg@10']
    """
    base, _, k = name.partition("@")
    order = list(MEASURES)
    return (order.index(base) if base in order else len(order), int(k) if k.isdigit() else 0)
