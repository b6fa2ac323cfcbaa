"""The report of a search: one HTML page that is whole in itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.report.measures import measure
from pipeline.report.view import Fact
from pipeline.report.words import plural, seconds
from pipeline.tune import plots
from pipeline.tune.results import Result, short_names, shown
from pipeline.tune.trials import Trial

TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Row:
    """A trial as the table shows it."""

    number: int
    settings: tuple[str, ...]
    value: str
    epochs: str
    seconds: str
    state: str
    note: str
    best: bool


def page(found: Result, best_config: str) -> str:
    """The page; the same search gives the same bytes.

    Args:
        found: The search.
        best_config: Text of the best config; "" where no trial is complete.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    names, label = short_names(list(found.space)), measure(found.goal.monitor).label
    here = Path(__file__).parent
    template = Environment(
        loader=FileSystemLoader([here, here.parent / "report"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    ).get_template(TEMPLATE)
    return template.render(
        name=found.name,
        lead=_lead(found),
        facts=_facts(found, label),
        history=plots.history(found, label),
        dimensions=plots.dimensions(found, label, names),
        heads=[Fact(name, "", path) for path, name in names.items()],
        monitor=label,
        rows=[_row(found, one) for one in found.trials],
        config=best_config,
    )


def _lead(found: Result) -> str:
    states = Counter(str(one.state) for one in found.trials)
    told = {"complete": "complete", "pruned": "given up early", "failed": "failed"}
    parts = [f"{states[state]} {words}" for state, words in told.items() if states[state]]
    copies = sum(one.same_as is not None for one in found.trials)
    parts += [f"{copies} with settings that were tried before"] if copies else []
    return f"{plural(len(found.trials), 'trial')} of the {found.goal.side}: {', '.join(parts)}."


def _facts(found: Result, label: str) -> list[Fact]:
    best, spent = found.best, seconds(sum(one.seconds for one in found.trials))
    time = Fact("Time of all trials", spent)
    if best is None:
        return [time]
    names = short_names(list(best.settings))
    reached = Fact(f"Best {label}", f"{best.value:.4f}", f"trial {best.number}, validation split")
    return [reached, *(Fact(names[path], shown(value)) for path, value in best.settings.items()), time]


def _row(found: Result, one: Trial) -> Row:
    note = f"as trial {one.same_as}" if one.same_as else one.reason
    epochs = f"{len(one.epochs)}, best {one.best_epoch}" if one.best_epoch else str(len(one.epochs) or "")
    return Row(
        number=one.number,
        settings=tuple(shown(one.settings[path]) for path in found.space),
        value="" if one.value is None else f"{one.value:.4f}",
        epochs=epochs,
        seconds=seconds(one.seconds),
        state=one.state,
        note=note,
        best=found.best is not None and found.best.number == one.number,
    )
