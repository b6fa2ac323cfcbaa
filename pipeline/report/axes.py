"""Round ticks, short numbers, and the frame that maps values to places in a drawing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
ELEMENTS = {
    "circle": Markup('<circle class="{}"{}/>'),
    "line": Markup('<line class="{}"{}/>'),
    "polygon": Markup('<polygon class="{}"{}/>'),
    "polyline": Markup('<polyline class="{}"{}/>'),
    "rect": Markup('<rect class="{}"{}/>'),
}


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that cover [low, high] in about `count` steps of 1, 2, 2.5 or 5 times a power of ten.

    Example:
        >>> ticks(0.0, 0.93)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        >>> ticks(3.0, 3.0)
        [2.5, 3.0, 3.5]
    """
    if not high > low:
        around = abs(low) or 1.0
        low, high, count = low - around / 6, low + around / 6, 2
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(each for each in STEPS if each * power >= raw * (1 - 1e-9)) * power
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 2 - math.floor(math.log10(step)))
    return [round(at * step, digits) + 0.0 for at in range(first, last + 1)]


def short(value: float) -> str:
    """A number in few characters.

    Example:
        >>> [short(value) for value in (0.25, 1995, 15_000, 2_300_000, 0.00012)]
        ['0.25', '1995', '15k', '2.3M', '1.2e-4']
    """
    size = abs(value)
    if not math.isfinite(value):
        return "n/a"
    if size and size < 0.001:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    if size < 9999.5:
        return f"{value:.4g}"
    unit, suffix = next(pair for pair in UNITS if size >= 0.9995 * pair[0])
    return f"{value / unit:.3g}{suffix}"


@dataclass(frozen=True)
class Frame:
    """The plotting area of a drawing of `width` by `height` units.

    Attributes:
        x_ticks: Round values along x; the first and the last are the edges.
        y_ticks: The same along y.
    """

    x_ticks: Sequence[float]
    y_ticks: Sequence[float]
    width: float = 400
    height: float = 280
    left: float = 68
    right: float = 14
    top: float = 12
    bottom: float = 44

    def x(self, value: float) -> float:
        """Place of a value along x."""
        share = (value - self.x_ticks[0]) / (self.x_ticks[-1] - self.x_ticks[0])
        return round(self.left + share * (self.width - self.left - self.right), 2)

    def y(self, value: float) -> float:
        """Place of a value along y, which grows downwards on the page."""
        share = (value - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        return round(self.height - self.bottom - share * (self.height - self.top - self.bottom), 2)

    def axes(self, x_label: str, y_label: str, x_names: Sequence[str] | None = None) -> Iterator[Markup]:
        """Grid lines, tick labels and axis titles."""
        right, floor = self.width - self.right, self.height - self.bottom
        for value in self.y_ticks:
            yield tag("line", "grid", x1=self.left, x2=right, y1=self.y(value), y2=self.y(value))
            yield text(short(value), self.left - 8, self.y(value) + 4, "tick end")
        for value, name in zip(self.x_ticks, x_names or [short(value) for value in self.x_ticks], strict=True):
            yield tag("line", "notch", x1=self.x(value), x2=self.x(value), y1=floor, y2=floor + 5)
            yield text(name, self.x(value), floor + 19, "tick middle")
        yield tag("line", "axis", x1=self.left, x2=right, y1=floor, y2=floor)
        yield text(x_label, (self.left + right) / 2, self.height - 6, "label middle")
        middle = (self.top + floor) / 2
        yield text(y_label, 12, middle, "label middle", turned=True)

    def across(self, x_label: str) -> Iterator[Markup]:
        """Grid lines, tick labels and title along x alone, for bars that lie."""
        floor = self.height - self.bottom
        for value in self.x_ticks:
            yield tag("line", "grid", x1=self.x(value), x2=self.x(value), y1=self.top, y2=floor)
            yield text(short(value), self.x(value), floor + 16, "tick middle")
        yield tag("line", "axis", x1=self.left, x2=self.left, y1=self.top, y2=floor)
        yield text(x_label, (self.left + self.width - self.right) / 2, self.height - 6, "label middle")


def tag(name: str, style: str, **places: float | str) -> Markup:
    """One empty SVG element out of `ELEMENTS`; every value is escaped.

    Example:
        >>> tag("line", "grid", x1=1, x2=2.5)
        Markup('<line class="grid" x1="1" x2="2.5"/>')
    """
    inside = Markup("").join(
        Markup(' {}="{}"').format(key, f"{value:.6g}" if isinstance(value, float) else value)
        for key, value in places.items()
    )
    return ELEMENTS[name].format(style, inside)


def text(words: str, x: float, y: float, style: str, *, turned: bool = False) -> Markup:
    """Text at a place, turned to read upwards when asked."""
    turn = Markup(' transform="rotate(-90 {:.6g} {:.6g})"').format(x, y) if turned else Markup("")
    return Markup('<text class="{}" x="{:.6g}" y="{:.6g}"{}>{}</text>').format(style, x, y, turn, words)


def drawing(frame: Frame, parts: Sequence[Markup], *, title: str, style: str = "plot") -> Markup:
    """A whole SVG picture with a name for those who don't see it."""
    head = Markup('<svg class="{}" viewBox="0 0 {:.6g} {:.6g}" role="img" aria-label="{}"><title>{}</title>')
    return head.format(style, frame.width, frame.height, title, title) + Markup("").join(parts) + Markup("</svg>")
