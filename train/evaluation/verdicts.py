"""Who wins, in words that hide nothing: a model that loses LOSES."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from core.dataset import SPLITS

HELD_OUT = SPLITS[1:]
"""The splits that no model has learned from."""


def verdicts(
    who: str,
    figures: Mapping[str, Mapping[str, Any]],
    rivals: Mapping[str, Mapping[str, Mapping[str, Any]]],
    metrics: Mapping[str, int],
    *,
    gaps: Mapping[str, Mapping[str, Mapping[str, list[float]]]] | None = None,
    confidence: float = 0.95,
) -> list[str]:
    """One sentence a rival and metric on the last split that both have: beats, LOSES to, or ties with.

    Args:
        who: The model.
        figures: Its figures by split.
        rivals: Those of its rivals.
        metrics: Names of metrics, 1 where more is better and -1 where less is.
        gaps: By rival, split and metric, the interval of the difference; where it holds zero the sentence says so.
        confidence: Of those intervals.

    Example:
        >>> verdicts("ranker mlp", {"test": {"auc": 0.7}}, {"logistic": {"test": {"auc": 0.75}}}, {"auc": 1})
        ['ranker mlp LOSES to logistic on test: auc 0.7000 against 0.7500 (-0.0500)']
    """
    told = []
    for rival, theirs in rivals.items():
        for split in [split for split in HELD_OUT if split in figures and split in theirs][-1:]:
            for metric, sign in metrics.items():
                gap = float(figures[split][metric]), float(theirs[split][metric]), sign
                sentence = _sentence(who, rival, split, metric, gap)
                ends = (gaps or {}).get(rival, {}).get(split, {}).get(metric)
                known = ends is not None and not math.isnan(ends[0])
                told.append(sentence[:-1] + _doubt(ends, confidence) if ends and known else sentence)
    return told


def _sentence(who: str, rival: str, split: str, metric: str, gap: tuple[float, float, int]) -> str:
    ours, other, sign = gap
    gain = sign * (ours - other)
    if math.isnan(gain):
        return f"{who} cannot be compared with {rival} on {split}: {metric}: one class alone"
    word = "beats" if gain > 0 else "LOSES to" if gain < 0 else "ties with"
    return f"{who} {word} {rival} on {split}: {metric} {ours:.4f} against {other:.4f} ({ours - other:+.4f})"


def _doubt(ends: list[float], confidence: float) -> str:
    low, high = ends
    apart = "" if low > 0 or high < 0 else ", not told apart"
    return f"; {100 * confidence:g} %: {low:+.4f} to {high:+.4f}{apart})"
