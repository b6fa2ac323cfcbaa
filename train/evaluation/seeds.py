"""Figures of a model that was trained from several seeds: each, their mean and their deviation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.dataset import SPLITS
from train.seeds import seed_directory, trained_seeds

Figures = Mapping[str, Any]


def figures_by_seed(directory: Path, judge: Callable[[Path], Figures]) -> dict[str, Any]:
    """Judge each training of a directory, as `{"seeds": {"best", "each", "mean", "deviation"}}`.

    Args:
        directory: Holds `seed-N/`; where it was trained once the result is empty.
        judge: Gives the figures of a training by split; what else it gives is left out.
    """
    seeds = trained_seeds(directory)
    if not seeds:
        return {}
    each = {seed: _splits(judge(seed_directory(directory, seed))) for seed in sorted(seeds)}
    return {
        "seeds": {
            "best": seeds[0],
            "each": {str(seed): figures for seed, figures in each.items()},
            "mean": over(statistics.fmean, list(each.values())),
            "deviation": over(sample_deviation, list(each.values())),
        }
    }


def over(one: Callable[[Sequence[float]], float], figures: Sequence[Figures]) -> dict[str, Any]:
    """One number for each figure that all of them hold, in the same places.

    Example:
        >>> over(max, [{"test": {"auc": 0.7}}, {"test": {"auc": 0.8}}])
        {'test': {'auc': 0.8}}
    """
    found: dict[str, Any] = {}
    for name, first in figures[0].items():
        values = [each[name] for each in figures if name in each]
        if len(values) < len(figures):
            continue
        if isinstance(first, Mapping):
            if inner := over(one, values):
                found[name] = inner
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            told = [float(value) for value in values]
            found[name] = one(told) if not any(math.isnan(value) for value in told) else math.nan
    return found


def sample_deviation(values: Sequence[float]) -> float:
    """The sample standard deviation (n - 1); NaN of one value alone.

    Example:
        >>> sample_deviation([1.0, 2.0, 3.0])
        1.0
    """
    return statistics.stdev(values) if len(values) > 1 else math.nan


def _splits(figures: Figures) -> Figures:
    found = {split: figures[split] for split in SPLITS if split in figures}
    targets = {name: _splits(one) for name, one in figures.get("targets", {}).items()}
    return found | ({"targets": targets} if targets else {})
