"""Evaluation of models that were trained once more on the validation split: no split by a model that has seen it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.files import read_json
from train.evaluation.found import Found
from train.refit import BOTH, CHOICE

REFIT = (
    "Refit: the epoch was chosen by a model of the training split, whose figures stand under valid. The model that is "
    "judged by test, and exported, was trained once more, for so many epochs, on the training and validation split; "
    "so were its baselines, and what counts as met in training."
)

Judge = Callable[[Mapping[str, Path], Sequence[str], frozenset[str]], Mapping[str, Found]]
"""Directories of models by side, splits, and the sides that have learned from the validation split, to findings."""


def baseline_in(directory: Path, name: str) -> Path:
    """Where a baseline of a ranker lies, or, of the ranker that chose the epoch, the baseline's own choice."""
    return directory.parent / name / CHOICE if directory.name == CHOICE else directory / name


def judged_apart(held: Mapping[str, Path], splits: Sequence[str], judge: Judge) -> dict[str, Found]:
    """Judge models; where one was refitted, each split apart.

    Args:
        held: Directory of the model of each side.
        splits: Those to judge.
        judge: Does it.
    """
    refitted = {
        side: read_json(path / "model.json")["refit"]
        for side, path in held.items()
        if (path / CHOICE / "model.json").exists()
    }
    if not refitted:
        return dict(judge(held, splits, frozenset()))
    found: dict[str, Found] = {}
    for split in splits:
        seen = split in BOTH
        places = {side: path / CHOICE if seen and side in refitted else path for side, path in held.items()}
        parts = judge(places, [split], frozenset() if seen else frozenset(refitted))
        found = {side: _both(found.get(side), one) for side, one in parts.items()} | {
            side: one for side, one in found.items() if side not in parts
        }
    return {side: _told(one, refitted.get("ranker" if side == "catalogue" else side)) for side, one in found.items()}


def _both(before: Found | None, after: Found) -> Found:
    """Two findings of one side, on different splits."""
    if before is None:
        return after
    return Found(
        _merged(before.metrics, after.metrics),
        after.verdicts or before.verdicts,
        after.protocol,
        {**before.samples, **after.samples},
        after.curves or before.curves,
        {name: _both(before.further.get(name), one) for name, one in after.further.items()},
    )


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that either holds.

    Example:
        >>> _merged({"a": {"valid": 1}}, {"a": {"test": 2}})
        {'a': {'valid': 1, 'test': 2}}
    """
    both = {name: _merged(one[name], value) for name, value in other.items() if isinstance(one.get(name), Mapping)}
    return {**one, **other, **both}


def _told(found: Found, refit: Mapping[str, Any] | None) -> Found:
    if refit is None:
        return found
    return replace(found, metrics={**found.metrics, "refit": dict(refit)}, protocol=[*found.protocol, REFIT])
