"""Measures of the models beside their baselines, and in words who wins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.report.files import Run
from pipeline.report.measures import Measure, measure, place
from pipeline.report.view import Cell, Fact, ResultRow, ResultTable, SegmentRow, Verdict
from pipeline.report.words import model_name
from pipeline.seeds import seeds_of
from pipeline.sides import base_of, sides_of, title_of

SPLITS = ("test", "valid")
CHIEF = {"ranker": "logistic", "retriever": "popularity", "catalogue": "popularity"}
"""The baseline that changes are told against."""
FEW = 20
"""Users or rows below which a segment says little."""
LISTS = ("recall", "ndcg", "sampled_hr", "sampled_ndcg")
DECISIVE = {"ranker": ("auc", "logloss"), "retriever": LISTS, "catalogue": LISTS}


def verdicts(run: Run) -> tuple[Verdict, ...]:
    """The judgements of the evaluation, one line a rival and outcome; one that says LOSES is shown as lost."""
    told: dict[str, list[str]] = {}
    for text in run.metrics.get("verdicts", ()):
        who, _, what = str(text).partition(": ")
        told.setdefault(who, []).append(what)
    return tuple(
        Verdict(who[:1].upper() + who[1:] + (": " if all(what) else "") + ", ".join(what), _good(who))
        for who, what in told.items()
    )


def _good(text: str) -> bool | None:
    if " LOSES " in text:
        return False
    return True if " beats " in text else None


def headline(run: Run) -> tuple[Fact, ...]:
    """The figure of each model that people ask for first."""
    found = []
    for side, wanted in (("ranker", ("auc",)), ("retriever", ("recall@50", "recall@10"))):
        figures = _split(run.metrics.get(side, {}), "test")
        known = [name for name in wanted if name in figures]
        known = known or [name for name in figures if name.partition("@")[0] in ("recall", "sampled_hr")]
        if known:
            label = f"Test {measure(known[0]).label}"
            found.append(Fact(label, f"{figures[known[0]]:.4f}", model_name(run.model(side))))
    return tuple(found)


def tables(run: Run) -> tuple[ResultTable, ...]:
    """One table for each model and split."""
    sides = sides_of(run.metrics)
    in_order = sorted(sides, key=lambda side: list(CHIEF).index(base_of(side)))
    found = [_table(run, side, sides[side], split) for side in in_order for split in SPLITS]
    return tuple(table for table in found if table is not None)


def _table(run: Run, side: str, part: Mapping[str, Any], split: str) -> ResultTable | None:
    base = base_of(side)
    own = _split(part, split)
    if not own:
        return None
    others = {name: _split(value, split) for name, value in part.get("baselines", {}).items()}
    models = {str(part.get("model", side)): own, **{name: value for name, value in others.items() if value}}
    chosen = {name: measure(name) for name in sorted(own, key=place) if _is_measure(name)}
    chief = models.get(CHIEF[base], {})
    rows = [
        _row(name, figures, models, chosen, chief=chief if at == 0 else {})
        for at, (name, figures) in enumerate(models.items())
    ]
    told = [part, *(part.get("baselines", {}).get(name, {}) for name in list(models)[1:])]
    rows = [_spread(row, each.get(split), chosen) for row, each in zip(rows, told, strict=True)]
    heads = tuple(Fact(each.label, each.arrow, each.note) for each in chosen.values())
    name = title_of(side, part)
    title = f"{name[:1].upper()}{name[1:]} on the {'test' if split == 'test' else 'validation'} split"
    words = _words(own, chief, chosen, model_name(CHIEF[base]).lower(), DECISIVE[base])
    protocol = tuple(str(line) for line in run.metrics.get("protocol", {}).get(side, ()))
    folded = split != SPLITS[0] and bool(_split(part, SPLITS[0]))
    segments, seeds = _segments(part[split], chosen), _seeds(part, split, chosen)
    protocol = () if folded else protocol
    return ResultTable(title, _note(own), heads, tuple(rows), words, protocol, folded, segments, seeds)


def _seeds(part: Mapping[str, Any], split: str, chosen: Mapping[str, Measure]) -> tuple[ResultRow, ...]:
    """Mean and deviation of a model that was trained from several seeds, and each of them."""
    found = seeds_of(part, split)
    if found is None:
        return ()
    rows = [("mean", f"n = {found.count}", found.mean), ("deviation", "sample, n - 1", found.deviation)]
    rows += [(f"seed {one}", "kept" if one == found.best else "", each) for one, each in found.each.items()]
    return tuple(
        ResultRow(name, note, tuple(Cell(_text(figures.get(key))) for key in chosen)) for name, note, figures in rows
    )


def _segments(figures: Mapping[str, Any], chosen: Mapping[str, Measure]) -> tuple[SegmentRow, ...]:
    """The figures of each segment, with how many users or rows they speak of."""
    rows = []
    for by, parts in figures.get("segments", {}).items():
        for name, each in parts.items():
            users, lines = each.get("users"), each.get("rows")
            count = f"{users or 0:,} users" if lines is None else f"{lines:,} rows"
            cells = tuple(_with_interval(Cell(_text(each.get(key))), each, key) for key in chosen)
            few = (users if lines is None else lines) or 0
            rows.append(SegmentRow(by, name, count, few < FEW, cells))
    return tuple(rows)


def _spread(row: ResultRow, figures: Any, chosen: Mapping[str, Measure]) -> ResultRow:
    cells = tuple(_with_interval(cell, figures, key) for cell, key in zip(row.cells, chosen, strict=True))
    return replace(row, cells=cells)


def _text(value: Any) -> str:
    return f"{value:.4f}" if _is_number(value) and not math.isnan(value) else "n/a"


def _with_interval(cell: Cell, figures: Any, key: str) -> Cell:
    """The same with the ends between which the figure may lie, where they are known."""
    ends = figures.get("intervals", {}).get(key) if isinstance(figures, Mapping) else None
    if not ends or None in ends:
        return cell
    return replace(cell, interval=f"{ends[0]:.4f} \N{EN DASH} {ends[1]:.4f}")


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
    own: Mapping[str, float],
    chief: Mapping[str, float],
    chosen: Mapping[str, Measure],
    name: str,
    decisive: tuple[str, ...],
) -> tuple[Verdict, ...]:
    """Who wins, in words, over all measures that have a better and a worse; the decisive ones colour the sentence."""
    wins: dict[str, bool] = {}
    for key, each in chosen.items():
        mine, theirs = _merit(each, own.get(key)), _merit(each, chief.get(key))
        if mine is not None and theirs is not None and mine != theirs:
            wins[key] = mine > theirs
    ahead = [chosen[key].label for key, won in wins.items() if won]
    behind = [chosen[key].label for key, won in wins.items() if not won]
    if not wins:
        return ()
    if not behind:
        return (Verdict(f"Ahead of {name} in every measure.", good=True),)
    if not ahead:
        return (Verdict(f"Behind {name} in every measure.", good=False),)
    judged = {won for key, won in wins.items() if key.partition("@")[0] in decisive}
    text = f"Ahead of {name} in {', '.join(ahead)}; behind in {', '.join(behind)}."
    return (Verdict(text, judged.pop() if len(judged) == 1 else None),)


def _note(own: Mapping[str, float]) -> str:
    """What the figures of a split speak of."""
    told = {"rows": "rows", "users": "users", "positives": "positives to be found", "items": "items to rank"}
    parts = [f"{int(own[key]):,} {words}" for key, words in told.items() if key in own]
    if "positive_rate" in own:
        parts.insert(1, f"{100 * own['positive_rate']:.1f} % positive")
    return ", ".join(parts)


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
