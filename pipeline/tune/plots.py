"""The drawings of a search: what was reached when, and by which settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from pipeline.report.axes import Frame, drawing, tag, text, ticks
from pipeline.report.plots import whole_ticks
from pipeline.report.view import Figure
from pipeline.tune.results import Result, shown
from pipeline.tune.trials import Trial, best_so_far

CURVES = 40
"""Trials whose epochs are drawn, the latest."""


def history(found: Result, label: str) -> list[Figure]:
    """The best figure after each trial, and the epochs of the trials."""
    known = [one for one in found.trials if one.value is not None]
    return [*_progress(found, known, label), *_curves(found, known, label)]


def dimensions(found: Result, label: str, names: Mapping[str, str]) -> list[Figure]:
    """For each setting its values against the figure."""
    known = [one for one in found.trials if one.value is not None]
    return [_dimension(found, known, path, names[path], label) for path in found.space] if known else []


def _progress(found: Result, known: Sequence[Trial], label: str) -> list[Figure]:
    steps = best_so_far(found.trials, larger_is_better=found.goal.larger_is_better)
    if not steps:
        return []
    values = [one.value or 0.0 for one in known]
    frame = Frame(whole_ticks(1, len(found.trials)), ticks(min(values), max(values)))
    parts = [*frame.axes("trial", label)]
    corners = [steps[0]]
    for number, value in steps[1:]:
        corners += [(number, corners[-1][1]), (number, value)]
    line = " ".join(f"{frame.x(x):g},{frame.y(y):g}" for x, y in corners)
    parts.append(tag("polyline", "line s1", points=line))
    parts += [_dot(one, frame.x(one.number), frame.y(one.value or 0.0)) for one in known]
    best = found.best
    if best is not None and best.value is not None:
        parts.append(tag("circle", "best", cx=frame.x(best.number), cy=frame.y(best.value), r=7))
    title = f"{label} by trial"
    return [Figure(title, drawing(frame, parts, title=f"{title}, with the best so far"), ("best so far",))]


def _curves(found: Result, known: Sequence[Trial], label: str) -> list[Figure]:
    best, monitor = found.best, found.goal.monitor
    drawn = [one for one in known[-CURVES:] if len(one.figures(monitor)) > 1 and one.same_as is None]
    drawn = [one for one in drawn if best is None or one.number != best.number]
    drawn += [best] if best is not None and len(best.figures(monitor)) > 1 else []
    points = {one.number: sorted(one.figures(monitor).items()) for one in drawn}
    if not drawn:
        return []
    xs = [x for each in points.values() for x, _ in each]
    ys = [y for each in points.values() for _, y in each]
    frame = Frame(whole_ticks(min(xs), max(xs)), ticks(min(ys), max(ys)))
    parts = [*frame.axes("epoch", label)]
    for one in drawn:
        style = "line s1" if best is not None and one.number == best.number else "reference"
        line = " ".join(f"{frame.x(x):g},{frame.y(y):g}" for x, y in points[one.number])
        parts.append(tag("polyline", style, points=line))
    note = f"The latest {CURVES} trials." if len(known) > CURVES else ""
    title = f"{label} by epoch"
    return [Figure(title, drawing(frame, parts, title=f"{title}, a line a trial"), ("the best trial",), note)]


def _dimension(found: Result, known: Sequence[Trial], path: str, name: str, label: str) -> Figure:
    """One setting; choices stand side by side, a logarithmic range is drawn by its powers of ten."""
    dimension = found.space[path]
    ys = ticks(min(one.value or 0.0 for one in known), max(one.value or 0.0 for one in known))
    if "choices" in dimension:
        frame, places, labels = _beside(dimension["choices"], known, path, ys)
    else:
        frame, places, labels = _along(dimension, known, path, ys)
    parts = [*frame.axes(name, label, labels)]
    parts += [_dot(one, frame.x(x), frame.y(one.value or 0.0)) for one, x in zip(known, places, strict=True)]
    best = found.best
    for one, x in zip(known, places, strict=True):
        if best is not None and one.number == best.number:
            parts.append(tag("circle", "best", cx=frame.x(x), cy=frame.y(one.value or 0.0), r=7))
            at = frame.x(x)
            end = "end" if at > frame.width * 0.7 else "start"
            parts.append(
                text(shown(one.settings[path]), at + (-11 if end == "end" else 11), frame.top + 8, f"mark {end}")
            )
    return Figure(name, drawing(frame, parts, title=f"{label} by {name}"), note=path)


def _beside(choices: Sequence[Any], known: Sequence[Trial], path: str, ys: Sequence[float]) -> Any:
    names = [shown(one) for one in choices]
    places = [float(names.index(shown(one.settings[path]))) for one in known]
    frame = Frame([-0.5, *range(len(names)), len(names) - 0.5], ys)
    short = [name if len(name) <= 12 else f"{name[:11]}…" for name in names]
    return frame, places, ["", *short, ""]


def _along(dimension: Mapping[str, Any], known: Sequence[Trial], path: str, ys: Sequence[float]) -> Any:
    low, high = float(dimension["low"]), float(dimension["high"])
    given = [float(one.settings[path]) for one in known]
    if not dimension["log"]:
        return Frame(ticks(low, high), ys), given, None
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    powers = list(range(first, max(last, first + 1) + 1))
    return Frame(powers, ys), [math.log10(one) for one in given], [f"1e{power}" for power in powers]


def _dot(trial: Trial, x: float, y: float) -> Markup:
    style = "s1" if trial.state == "complete" else trial.state
    return tag("circle", f"dot {style}", cx=x, cy=y, r=3.5)
