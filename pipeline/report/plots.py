"""The drawings of the report: static SVG whose colours come from the page's style sheet, light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.report.axes import Frame, drawing, tag, text, ticks

LONGEST = 17
"""Characters of a value beside its bars."""


@dataclass(frozen=True)
class Series:
    """One line: its name and its points (x, y)."""

    name: str
    points: tuple[tuple[float, float], ...]


def line_chart(
    lines: Sequence[Series], *, title: str, x_label: str, y_label: str, best: tuple[float, float] | None = None
) -> Markup:
    """Lines over epochs, with a mark at the best one.

    Args:
        lines: At least one line with at least one point; x are whole numbers.
        title: What the picture shows, in words.
        x_label: Title of the x axis.
        y_label: Title of the y axis.
        best: Where to put the mark.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    room = 0.12 * (max(ys) - min(ys)) if best is not None else 0.0  # for the words above the mark
    frame = Frame(whole_ticks(min(xs), max(xs)), ticks(min(ys), max(ys) + room))
    parts = list(frame.axes(x_label, y_label))
    for number, line in enumerate(lines, 1):
        parts.append(tag("polyline", f"line s{number}", points=_path(frame, line.points)))
        parts += [tag("circle", f"dot s{number}", cx=frame.x(x), cy=frame.y(y), r=3) for x, y in line.points]
    if best is not None:
        x, y = frame.x(best[0]), frame.y(best[1])
        end = "end" if x > frame.width * 0.7 else "middle" if x > frame.width * 0.3 else "start"
        parts.append(tag("circle", "best", cx=x, cy=y, r=7))
        parts.append(text(f"best {best[1]:.4f}", x, y - 13, f"mark {end}"))
    return drawing(frame, parts, title=title)


def whole_ticks(low: float, high: float) -> list[float]:
    """Whole numbers only, about ten at most: there is no epoch 1.5."""
    if high <= low:
        return [low - 1, low, low + 1]
    step = max(1, math.ceil(ticks(0, high - low, 9)[1])) if high - low > 9 else 1
    count = math.ceil((high - low) / step)
    return [low + step * number for number in range(count + 1)]


def calibration_chart(lines: Sequence[Sequence[tuple[float, float, int]]], *, title: str) -> Markup:
    """Predicted against observed share of positives; the area of the first line's dots grows with their rows.

    Args:
        lines: For each model (mean prediction, share of positives, rows) of each bin that has rows.
        title: What the picture shows, in words.
    """
    top = max([0.05, *(max(predicted, observed) for line in lines for predicted, observed, _ in line)])
    edges = ticks(0.0, min(top, 1.0))
    frame = Frame(edges, edges)
    parts = list(frame.axes("mean prediction", "observed share"))
    ends = ((edges[0], edges[0]), (edges[-1], edges[-1]))
    parts.append(tag("polyline", "reference", points=_path(frame, ends)))
    for number, line in reversed(list(enumerate(lines, 1))):
        points = [(predicted, observed) for predicted, observed, _ in line]
        parts.append(tag("polyline", f"line s{number}", points=_path(frame, points)))
    most = max((rows for *_, rows in lines[0]), default=1)
    for predicted, observed, rows in lines[0]:
        radius = 2.0 + 4.0 * (rows / most) ** 0.5
        parts.append(tag("circle", "bubble s1", cx=frame.x(predicted), cy=frame.y(observed), r=radius))
    return drawing(frame, parts, title=title)


def score_chart(edges: Sequence[float], shares: Sequence[tuple[str, Sequence[float]]], *, title: str) -> Markup:
    """Histograms of several groups over one another, each with its own total of 1.

    Args:
        edges: [n + 1] borders of the bins.
        shares: For each group its name and [n] shares.
        title: What the picture shows, in words.
    """
    return overlay(edges, shares, title=title, x_label="predicted score", y_label="share of its rows")


def overlay(
    edges: Sequence[float], shares: Sequence[tuple[str, Sequence[float]]], *, title: str, x_label: str, y_label: str
) -> Markup:
    """Histograms over one another; see `score_chart`.

    Args:
        edges: [n + 1] borders of the bins.
        shares: For each group its name and [n] shares.
        title: What the picture shows, in words.
        x_label: Title of the x axis.
        y_label: Title of the y axis.
    """
    top = max((value for _, values in shares for value in values), default=1.0) or 1.0
    frame = Frame(ticks(edges[0], edges[-1]), ticks(0.0, top), right=22)
    parts = list(frame.axes(x_label, y_label))
    for number, (_, values) in enumerate(shares, 1):
        steps = [(edges[0], 0.0)]
        for left, right, value in zip(edges[:-1], edges[1:], values, strict=True):
            steps += [(left, value), (right, value)]
        steps.append((edges[-1], 0.0))
        parts.append(tag("polygon", f"area s{number}", points=_path(frame, steps)))
        parts.append(tag("polyline", f"line thin s{number}", points=_path(frame, steps)))
    return drawing(frame, parts, title=title)


def value_chart(names: Sequence[str], shares: Sequence[tuple[str, Sequence[float]]], *, title: str) -> Markup:
    """Bars for the shares of some values, those of several groups beside one another.

    Args:
        names: The values.
        shares: For each group its name and the share of each value.
        title: What the picture shows, in words.
    """
    thick, gap = 8, 7
    tall = thick * len(shares) + gap
    top = max((value for _, values in shares for value in values), default=1.0) or 1.0
    frame = Frame(ticks(0.0, top, 4), (0.0, 1.0), height=tall * len(names) + 46, left=128, right=22, top=6, bottom=40)
    parts = list(frame.across("share of its rows"))
    for at, name in enumerate(names):
        y = frame.top + at * tall
        parts.append(text(_cut(name), frame.left - 8, y + (tall - gap) / 2 + 4, "tick end"))
        for number, (_, values) in enumerate(shares, 1):
            place = {"x": frame.x(0), "y": y + (number - 1) * thick, "height": thick - 1}
            parts.append(tag("rect", f"bar s{number}", **place, width=max(frame.x(values[at]) - frame.x(0), 0.6)))
    return drawing(frame, parts, title=title)


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def roc_chart(lines: Sequence[Series], *, title: str) -> Markup:
    """True positive rate against false positive rate; the diagonal is chance."""
    edges = ticks(0.0, 1.0)
    frame = Frame(edges, edges)
    parts = list(frame.axes("false positive rate", "true positive rate"))
    parts.append(tag("polyline", "reference", points=_path(frame, ((0, 0), (1, 1)))))
    for number, line in enumerate(lines, 1):
        parts.append(tag("polyline", f"line s{number}", points=_path(frame, line.points)))
    return drawing(frame, parts, title=title)


def spark(counts: Sequence[float], *, title: str, width: float = 200, height: float = 32) -> Markup:
    """A histogram without axes, to stand in a row of a table."""
    frame = Frame((0, max(len(counts), 1)), (0, max([1e-12, *counts])), width, height, 0, 0, 1, 1)
    bars = []
    for at, count in enumerate(counts):
        high = max(frame.y(0) - frame.y(count), 0.8 if count else 0.0)
        place = {"x": frame.x(at) + 0.4, "y": frame.y(0) - high}
        bars.append(tag("rect", "bar", **place, width=frame.x(1) - frame.x(0) - 0.8, height=high))
    bars.append(tag("line", "axis", x1=0, x2=width, y1=height - 0.5, y2=height - 0.5))
    return drawing(frame, bars, title=title, style="spark")


def _path(frame: Frame, points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{frame.x(x):g},{frame.y(y):g}" for x, y in points)


def box(quantiles: Sequence[float], *, title: str, width: float = 200, height: float = 32) -> Markup:
    """Quantiles without axes, to stand in a row of a table: outer ones as a line, inner ones as boxes.

    Args:
        quantiles: Rising values at levels that mirror one another around the median (1 %, 25 %, 50 %, 75 %, 99 %).
        title: What the picture shows, in words.
        width: Units.
        height: Units.
    """
    low, high = quantiles[0], quantiles[-1]
    frame = Frame((low, high if high > low else low + 1), (0, 1), width, height, 2, 2, 1, 1)
    parts = [tag("line", "whisker", x1=frame.x(low), x2=frame.x(high), y1=height / 2, y2=height / 2)]
    pairs = len(quantiles) // 2
    for depth in range(1, pairs):
        left, right = frame.x(quantiles[depth]), frame.x(quantiles[-1 - depth])
        tall = height * 0.75 * depth / (pairs - 1)
        place = {"x": left, "y": (height - tall) / 2, "width": max(right - left, 1.0), "height": tall}
        parts.append(tag("rect", "box", **place))
    middle = frame.x(quantiles[pairs])
    parts.append(tag("line", "median", x1=middle, x2=middle, y1=2, y2=height - 2))
    return drawing(frame, parts, title=title, style="spark")
