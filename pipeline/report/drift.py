"""How the splits differ, in drawings, and what the leak guard found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.dataset import SPLITS
from pipeline.report.files import Run, read_object
from pipeline.report.plots import overlay, value_chart
from pipeline.report.profile import role_of, schema, shifts
from pipeline.report.view import Figure

SHOWN = 6
"""Columns drawn."""
VALUES = 6
"""Frequent values drawn of a column."""
WORTH = 0.1
"""PSI from which a column is worth a drawing."""


def figures(run: Run) -> tuple[Figure, ...]:
    """One drawing for each of the columns that lie farthest from the training rows; the size of an id means nothing."""
    import polars as pl

    if not run.dataset.profile_file.exists():
        return ()
    known, rows = schema(run), pl.read_parquet(run.dataset.profile_file).to_dicts()
    told = [row for row in rows if _farthest(row) >= WORTH and not role_of(row["name"], known).endswith("id")]
    told.sort(key=lambda row: (-_farthest(row), row["name"]))
    drawn = (_figure(row) for row in told[:SHOWN])
    return tuple(figure for figure in drawn if figure is not None)


def guard(run: Run) -> tuple[str, ...] | None:
    """The signs of leaks; None where nobody looked."""
    found = read_object(run.dataset.path / "manifest.json").get("warnings")
    if not isinstance(found, list) or run.setting("etl", "leaks", "action") == "off":
        return None
    return tuple(str(one["told"]) for one in found if one.get("kind") != "drift")


def _farthest(row: Mapping[str, Any]) -> float:
    return max((shift.psi for shift in shifts(dict(row))), default=0.0)


def _figure(row: Mapping[str, Any]) -> Figure | None:
    name, splits = row["name"], [split for split in SPLITS if row.get(f"rows_{split}")]
    note = "; ".join(f"{shift.name} PSI {shift.psi:.2f}, {shift.note}" for shift in shifts(dict(row)))
    title, legend = f"{name} by split", tuple(splits)
    edges = row.get("edges") or []
    if edges and (row["distinct"] or 0) > VALUES:
        shares = [(split, _shares(row[f"histogram_{split}"])) for split in splits]
        picture = overlay(edges, shares, title=title, x_label=name, y_label="share of its rows")
        return Figure(name, picture, legend, note)
    values = row["top_values"][:VALUES]
    if not values:
        return None
    bars = [(split, _of(row[f"top_{split}"][:VALUES], row[f"rows_{split}"])) for split in splits]
    return Figure(name, value_chart(values, bars, title=title), legend, note)


def _shares(counts: Sequence[int]) -> list[float]:
    return _of(counts, sum(counts))


def _of(counts: Sequence[int], rows: int) -> list[float]:
    return [count / max(rows, 1) for count in counts]
