"""Drawings of how the ranker's scores stand to what happened: calibration, scores by outcome, ROC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report.files import Run
from pipeline.report.plots import Series, calibration_chart, roc_chart
from pipeline.report.view import Figure
from pipeline.report.words import model_name


def figures(run: Run) -> tuple[Figure, ...]:
    """Drawings of whatever curves the evaluation kept."""
    curves = run.metrics.get("curves", {})
    name = model_name(run.model("ranker"))
    found = [_calibration(curves, name), _roc(curves, name)]
    return tuple(figure for figure in found if figure is not None)


def _calibration(curves: Mapping[str, Any], name: str) -> Figure | None:
    bins = [(each["mean_prediction"], each["mean_target"], each["rows"]) for each in curves.get("calibration", ())]
    if not bins:
        return None
    picture = calibration_chart(bins, title=f"Calibration of {name} on the test split")
    note = "On the diagonal, what was promised came true. The area of a dot tells its rows."
    return Figure(f"Calibration of {name}", picture, (), note)


def _roc(curves: Mapping[str, Any], name: str) -> Figure | None:
    points = curves.get("roc")
    if not points:
        return None
    line = Series(name, tuple((float(x), float(y)) for x, y in points))
    return Figure("ROC", roc_chart([line], title=f"ROC of {name} on the test split"), (name,))
