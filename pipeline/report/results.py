"""Measures of the models beside their baselines, and in words who wins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pipeline.report.files import Run
from pipeline.report.measures import Measure, measure
from pipeline.report.stages import rows_of
from pipeline.report.view import Cell, Fact, ResultRow, ResultTable, Verdict
from pipeline.report.words import model_name

SPLITS = ("test", "valid")
CHIEF = {"ranker": "logistic", "retriever": "popularity"}
"""The baseline that changes are told against."""


def verdicts(run: Run) -> tuple[Verdict, ...]:
    """The judgements of the evaluation; one that says LOSES is shown as lost."""
    return tuple(Verdict(str(text), _good(str(text))) for text in run.metrics.get("verdicts", ()))


def _good(text: str) -> bool | None:
    if "LOSES" in text:
        return False
    return True if "beats" in text else None


def headline(run: Run) -> tuple[Fact, ...]:
    """The figure of each model that people ask for first."""
    found = []
    for side, wanted in (("ranker", ("auc",)), ("retriever", ("recall@50", "recall@10"))):
        figures = _split(run.metrics.get(side, {}), "test")
        known = [name for name in wanted if name in figures] or [name for name in figures if "recall" in name]
        if known:
            label = f"Test {measure(known[0]).label}"
            found.append(Fact(label, f"{figures[known[0]]:.4f}", model_name(run.model(side))))
    return tuple(found)


def tables(run: Run) -> tuple[ResultTable, ...]:
    """One table for each model and split."""
    found = [_table(run, side, split) for side in ("ranker", "retriever") for split in SPLITS]
    return tuple(table for table in found if table is not None)


def _table(run: Run, side: str, split: str) -> ResultTable | None:
    part = run.metrics.get(side) or {}
    own = _split(part, split)
    if not own:
        return None
    others = {name: _split(value, split) for name, value in part.get("baselines", {}).items()}
    models = {run.model(side): own, **{name: value for name, value in others.items() if value}}
    chosen = {name: measure(name) for name in own if _is_measure(name)}
    chief = models.get(CHIEF[side], {})
    rows = [
        _row(name, figures, models, chosen, chief=chief if at == 0 else {})
        for at, (name, figures) in enumerate(models.items())
    ]
    heads = tuple(Fact(each.label, each.note) for each in chosen.values())
    title = f"{side.capitalize()} on the {'test' if split == 'test' else 'validation'} split"
    words = _words(own, chief, chosen, model_name(CHIEF[side]))
    return ResultTable(title, _note(run, own, split), heads, tuple(rows), words)


def _row(
    name: str,
    figures: Mapping[str, float],
    models: Mapping[str, Mapping[str, float]],
    chosen: Mapping[str, Measure],
    *,
    chief: Mapping[str, float],
) -> ResultRow:
    cells = []
    for key, each in chosen.items():
        merits = {other: _merit(each, values.get(key)) for other, values in models.items()}
        known = [merit for merit in merits.values() if merit is not None]
        best = len(known) > 1 and merits[name] == max(known)
        cells.append(_cell(each, figures.get(key), chief.get(key), best=best))
    first = next(iter(models)) == name
    return ResultRow(model_name(name), "model" if first else "baseline", tuple(cells))


def _cell(each: Measure, value: float | None, against: float | None, *, best: bool) -> Cell:
    if value is None or math.isnan(value):
        return Cell("n/a")
    mine, theirs = _merit(each, value), _merit(each, against)
    if against is None or mine is None or theirs is None:
        return Cell(f"{value:.4f}", best)
    better = None if mine == theirs else mine > theirs
    return Cell(f"{value:.4f}", best, f"{value - against:+.4f}", better)


def _words(
    own: Mapping[str, float], chief: Mapping[str, float], chosen: Mapping[str, Measure], name: str
) -> tuple[Verdict, ...]:
    """Who wins, in words, over all measures that have a better and a worse."""
    ahead: list[str] = []
    behind: list[str] = []
    for key, each in chosen.items():
        mine, theirs = _merit(each, own.get(key)), _merit(each, chief.get(key))
        if mine is not None and theirs is not None and mine != theirs:
            (ahead if mine > theirs else behind).append(each.label)
    if not ahead and not behind:
        return ()
    if not behind:
        return (Verdict(f"Ahead of {name} in every measure.", good=True),)
    if not ahead:
        return (Verdict(f"Behind {name} in every measure: use {name} instead.", good=False),)
    text = f"Ahead of {name} in {', '.join(ahead)}; behind in {', '.join(behind)}."
    return (Verdict(text, None),)


def _note(run: Run, own: Mapping[str, Any], split: str) -> str:
    rows = rows_of(run).get(split)
    parts = [f"{rows:,} rows" if rows else ""]
    parts += [f"{own[key]:,} {key}" for key in ("users", "items", "positives") if key in own]
    return ", ".join(part for part in parts if part)


def _split(part: Any, split: str) -> dict[str, float]:
    """The numbers of one split."""
    figures = part.get(split) if isinstance(part, Mapping) else None
    if not isinstance(figures, Mapping):
        return {}
    return {str(name): value for name, value in figures.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_measure(name: str) -> bool:
    known = measure(name)
    return bool(known.note) or known.target is not None


def _merit(each: Measure, value: float | None) -> float | None:
    return None if value is None else each.merit(value)
