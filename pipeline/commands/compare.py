"""`gyrfalcon compare`: figures of several runs in one table, where they may stand in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from core.errors import UserError
from pipeline.commands.judged import JudgedRun, print_table

if TYPE_CHECKING:
    from train.evaluation.intervals import Replicates

CURE = "compare runs of the same data, split and protocol"
Line = tuple[str, ...]
HEADS = ("figure", "run", "model", "value", "interval", "difference", "its interval")
SEED_HEADS = ("figure", "run", "model", "mean", "deviation", "n", "each seed")


def compare(paths: Sequence[Path], *, split: str, confidence: float) -> None:
    """Print a table a side: each figure of each run, its interval, and the paired difference to the first run.

    Raises:
        UserError: A run is missing, damaged or not evaluated, or the runs judged different data, splits or protocols.
    """
    if len(paths) < 2:
        raise UserError("one run alone can't be compared", where="RUN", cure="give two or more run directories")
    if not 0.0 < confidence < 1.0:
        raise UserError(f"{confidence} is no confidence", where="--confidence", cure="give a number between 0 and 1")
    runs = [JudgedRun.read(path) for path in paths]
    sides = [side for side in runs[0].sides() if all(one.figures(side, split) for one in runs if side in one.sides())]
    sides = [side for side in sides if all(side in one.sides() for one in runs)]
    _require_alike(runs, sides)
    if not sides:
        cure = "compare rankers with rankers and candidate generators with candidate generators"
        raise UserError(f"these runs have no model in common that was judged on {split}", where="RUN", cure=cure)
    for side in sides:
        _print(runs[0].title(side), split, confidence, list(lines(runs, side, split, confidence)))
        if table := list(seed_lines(runs, side, split)):
            _print_seeds(runs[0].title(side), split, table)
    if any(one.samples() is None for one in runs):
        typer.echo("no intervals: metrics_users.parquet is missing in a run; gyrfalcon evaluate RUN writes it")


def _require_alike(runs: Sequence[JudgedRun], sides: Sequence[str]) -> None:
    first = runs[0]
    for other in runs[1:]:
        for key, told in (("data", "judged other data"), ("splits", "split the same data otherwise")):
            if first.judged[key] != other.judged[key]:
                raise UserError(f"{other.path} {told} than {first.path}", where=str(other.path), cure=CURE)
        for side in sides:
            mine, theirs = (one.judged["protocol"].get(side, {}) for one in (first, other))
            if mine != theirs:
                names = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
                told = ", ".join(f"{name}: {theirs.get(name)} against {mine.get(name)}" for name in names)
                told = f"{first.title(side)}: the runs were judged by other protocols ({told})"
                raise UserError(told, where=str(other.path), cure=CURE)


def lines(runs: Sequence[JudgedRun], side: str, split: str, confidence: float) -> Iterator[Line]:
    """The lines of a table: every figure that all runs have, run by run; HEADS names the columns."""
    from pipeline.report.measures import measure, place

    figures = [one.figures(side, split) for one in runs]
    names = labels([one.path for one in runs])
    common = [name for name in figures[0] if all(name in each for each in figures) and measure(name).note]
    replicates = _replicates(runs, side, split)
    for name in sorted(common, key=place):
        for at, (run, found) in enumerate(zip(runs, figures, strict=True)):
            own = interval = apart = apart_interval = ""
            own = measure(name).label if at == 0 else ""
            if replicates and name in replicates[at].names:
                interval = _ends(replicates[at].interval(name, confidence), "")
            if at:
                apart = f"{found[name] - figures[0][name]:+.4f}"
            if at and replicates and name in replicates[at].names:
                apart_interval = _ends(replicates[at].against(replicates[0], confidence).get(name), "+")
            yield (own, names[at], run.model(side), f"{found[name]:.4f}", interval, apart, apart_interval)


def seed_lines(runs: Sequence[JudgedRun], side: str, split: str) -> Iterator[Line]:
    """The lines of the table of seeds, figure by figure; none unless a run was trained from several."""
    from pipeline.report.measures import measure, place

    names = labels([one.path for one in runs])
    known = [(name, run.model(side), run.seeds(side, split)) for name, run in zip(names, runs, strict=True)]
    told = [(name, model, seeds) for name, model, seeds in known if seeds is not None]
    figures = {figure for *_, seeds in told for figure in seeds.mean if measure(figure).note}
    for figure in sorted(figures, key=place):
        of_figure = [(name, model, seeds) for name, model, seeds in told if figure in seeds.mean]
        for at, (name, model, seeds) in enumerate(of_figure):
            deviation = seeds.deviation.get(figure)
            spread = "n/a" if deviation is None else f"{deviation:.4f}"
            each = ", ".join(f"{one}: {found[figure]:.4f}" for one, found in seeds.each.items() if figure in found)
            first = measure(figure).label if at == 0 else ""
            yield (first, name, model, f"{seeds.mean[figure]:.4f}", spread, str(seeds.count), each)


def labels(paths: Sequence[Path]) -> list[str]:
    """The names of the runs; whole paths where two are called alike."""
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _replicates(runs: Sequence[JudgedRun], side: str, split: str) -> list[Replicates] | None:
    """Replicates of each run from the same draws; None where a run kept no users, or other ones."""
    import torch

    from train.evaluation.intervals import replicate

    kept = [one.samples() for one in runs]
    samples = [each.get((side, run.model(side), split)) for each, run in zip(kept, runs, strict=True) if each]
    known = [each for each in samples if each is not None]
    if len(known) < len(runs) or not all(torch.equal(each.user_Q, known[0].user_Q) for each in known):
        return None
    found = replicate(dict(enumerate(known)))
    return [found[at] for at in range(len(known))]


def _ends(ends: Sequence[float] | None, sign: str) -> str:
    return "" if ends is None else f"{ends[0]:{sign}.4f} to {ends[1]:{sign}.4f}"


def _print_seeds(title: str, split: str, table: Sequence[Line]) -> None:
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=f"{title} on {split}, over several seeds", title_justify="left")
    for at, head in enumerate(SEED_HEADS):
        shown.add_column(head, justify="left" if at in (0, 1, 2, 6) else "right", no_wrap=at not in (1, 6))
    for line in table:
        shown.add_row(*map(escape, line))
    print_table(shown)


def _print(title: str, split: str, confidence: float, table: Sequence[Line]) -> None:
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=f"{title} on {split}, {100 * confidence:g} % intervals over users", title_justify="left")
    for at, head in enumerate(HEADS):
        shown.add_column(head, justify="left" if at < 3 else "right", no_wrap=at != 1)
    for line in table:
        shown.add_row(*map(escape, line))
    print_table(shown)
