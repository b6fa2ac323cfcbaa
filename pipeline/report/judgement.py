"""Drawings of how the ranker's scores stand to what happened: calibration, scores by outcome, ROC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report.files import Run
from pipeline.report.plots import Series, calibration_chart, roc_chart, score_chart
from pipeline.report.view import Figure
from pipeline.report.words import model_name
from pipeline.sides import sides_of

Curves = Mapping[str, Mapping[str, Any]]


def figures(run: Run) -> tuple[Figure, ...]:
    """Drawings of the curves that the evaluation kept, by target: the ranker first, then its baselines."""
    kept, found = run.metrics.get("curves", {}), []
    for side, part in sides_of(run.metrics).items():
        curves, own = kept.get(side, {}), part.get("model")
        target = f" ({part['target']})" if "target" in part else ""
        named = {f"{model_name(name)}{target}": curves[name] for name in sorted(curves, key=lambda name: name != own)}
        found += [_calibration(named), _scores(named), _roc(named)]
    return tuple(figure for figure in found if figure is not None)


def _calibration(curves: Curves) -> Figure | None:
    lines = {name: [tuple(each) for each in one["calibration"]] for name, one in curves.items() if one["calibration"]}
    if not lines:
        return None
    first = next(iter(lines))
    picture = calibration_chart(list(lines.values()), title=f"Calibration of {first} on the held-out rows")
    note = "On the diagonal, what was promised came true."
    return Figure("Calibration", picture, tuple(lines), note)


def _scores(curves: Curves) -> Figure | None:
    if not curves:
        return None
    name, one = next(iter(curves.items()))
    scores = one["scores"]
    shares = [(outcome, _shares(scores[outcome])) for outcome in ("negative", "positive")]
    picture = score_chart(scores["edges"], shares, title=f"Scores of {name} by outcome on the held-out rows")
    note = "The farther the two lie apart, the better the outcomes are told apart."
    return Figure(f"Scores of {name}", picture, tuple(outcome for outcome, _ in shares), note)


def _shares(counts: list[int]) -> list[float]:
    whole = sum(counts) or 1
    return [count / whole for count in counts]


def _roc(curves: Curves) -> Figure | None:
    lines = [Series(name, tuple((x, y) for x, y in one["roc"])) for name, one in curves.items() if one["roc"]]
    if not lines:
        return None
    picture = roc_chart(lines, title=f"ROC of {' and '.join(line.name for line in lines)} on the held-out rows")
    note = "Chance is the diagonal; the area below a curve is its AUC."
    return Figure("ROC", picture, tuple(line.name for line in lines), note)
