"""Curves of the training: loss and the measure that chose the best epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report.files import Run
from pipeline.report.measures import measure
from pipeline.report.plots import Series, line_chart
from pipeline.report.view import Figure
from pipeline.report.words import model_name


def figures(run: Run) -> tuple[Figure, ...]:
    """Up to two drawings for each model that learned by epochs."""
    found: list[Figure] = []
    for side in ("retriever", "ranker"):
        history = run.histories.get(side, {})
        epochs = history.get("epochs")
        if isinstance(epochs, list) and epochs:
            found += _figures(f"{model_name(run.model(side))} {side}", history, epochs)
    return tuple(found)


def _figures(name: str, history: Mapping[str, Any], epochs: list[Mapping[str, Any]]) -> list[Figure]:
    best = int(history.get("best_epoch") or 0)
    loss = [Series("training", _points(epochs, "train_loss"))]
    valid = Series("validation", _valid(epochs, "logloss"))
    lines = [line for line in (*loss, valid) if line.points]
    found = []
    if lines:
        marked = dict(valid.points).get(best) if history.get("monitor") == "logloss" else None
        picture = line_chart(
            lines,
            title=f"Loss of {name} by epoch",
            x_label="epoch",
            y_label="loss",
            best=None if marked is None else (best, marked),
        )
        found.append(Figure(f"{name}: loss", picture, tuple(line.name for line in lines)))
    monitor = history.get("monitor")
    watched = _valid(epochs, str(monitor)) if monitor and monitor != "logloss" else ()
    if watched:
        label = measure(str(monitor)).label
        title = f"{label} of {name} on the validation split by epoch"
        marked = dict(watched).get(best)
        picture = line_chart(
            [Series(label, watched)],
            title=title,
            x_label="epoch",
            y_label=label,
            best=None if marked is None else (best, marked),
        )
        found.append(Figure(f"{name}: {label} on validation", picture, (), f"The weights of epoch {best} were kept."))
    return found


def _points(epochs: list[Mapping[str, Any]], key: str) -> tuple[tuple[float, float], ...]:
    return tuple((int(each["epoch"]), float(each[key])) for each in epochs if each.get(key) is not None)


def _valid(epochs: list[Mapping[str, Any]], key: str) -> tuple[tuple[float, float], ...]:
    return _points([{"epoch": each["epoch"], **each.get("valid", {})} for each in epochs], key)
