"""From a report's values to one self-contained HTML page."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from pipeline.report.view import Report

TEMPLATE = "report.html.j2"


def render(report: Report) -> str:
    """Fill the template; everything but the drawings is escaped, so that titles stay titles.

    Example:
        >>> "&lt;b&gt;" in render(Report(name="<b>", lead=""))
        True
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page.filters["percent"] = percent
    page.filters["count"] = count
    return page.get_template(TEMPLATE).render({each.name: getattr(report, each.name) for each in fields(report)})


def percent(share: float) -> str:
    """A share in percent, with enough digits to tell little from nothing.

    Example:
        >>> [percent(share) for share in (0.0, 0.0004, 0.256, 1.0)]
        ['0 %', '0.04 %', '25.6 %', '100 %']
    """
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f} %"
    return f"{value:.2f} %" if value < 0.1 else f"{value:.1f} %"


def count(number: int) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,}"
