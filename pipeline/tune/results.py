"""What a search leaves behind: `tune.json`, `best.yaml`, `report.html`, and lines for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import dump
from core.errors import UserError
from core.files import read_json, write_json, write_text
from pipeline.report.words import seconds
from pipeline.tune import trials
from pipeline.tune.space import SIDES, Config, Goal
from pipeline.tune.trials import Trial

if TYPE_CHECKING:
    from train.spec import TrainSpec

VERSION = 1
NAME = "tune.json"
BEST = "best.yaml"
REPORT = "report.html"


@dataclass(frozen=True)
class Result:
    """A search as it lies on the disk.

    Attributes:
        name: Of the run.
        goal: What was wanted.
        space: The section of the config, as plain values.
        trials: Those that are over.
    """

    name: str
    goal: Goal
    space: Mapping[str, Any]
    trials: tuple[Trial, ...]

    @classmethod
    def read(cls, root: Path) -> Result:
        """Open the directory of a search.

        Raises:
            UserError: There is none, or its file is broken.
        """
        file = root / NAME
        if not file.exists():
            cure = "give the directory of a search, such as runs/NAME-tune, or a config"
            raise UserError("there is no search here: tune.json is missing", where=str(root), cure=cure)
        value = read_json(file)
        try:
            side, monitor = value["side"], value["monitor"]
            wanted = Goal(side, monitor, value["larger_is_better"])
            space = {path: value["space"][path] for path in value["order"]}
            return cls(value["name"], wanted, space, tuple(Trial(**one) for one in value["trials"]))
        except (KeyError, TypeError) as error:
            cure = "run gyrfalcon tune with its config: it writes this file again"
            raise UserError(f"this tells of no search ({error})", where=str(file), cure=cure) from None

    @property
    def best(self) -> Trial | None:
        """The best trial; None where none is complete."""
        return trials.best(self.trials, larger_is_better=self.goal.larger_is_better)


def write(root: Path, config: Config, goal: Goal, done: Sequence[Trial]) -> None:
    """Write down everything that is known so far; what was there before is replaced."""
    from pipeline.tune.report import page

    best = trials.best(done, larger_is_better=goal.larger_is_better)
    space = config.tune.model_dump(mode="json")["space"]
    text = "" if best is None else best_config(config, goal, best, len(done))
    value = {
        "version": VERSION,
        "name": config.spec.name,
        "side": goal.side,
        "monitor": goal.monitor,
        "larger_is_better": goal.larger_is_better,
        "space": space,
        "order": list(space),
        "best": best and best.number,
        "trials": [trials.as_json(one) for one in done],
    }
    write_json(root / NAME, value)
    write_text(root / REPORT, page(Result(config.spec.name, goal, space, tuple(done)), text))
    if best is not None:
        write_text(root / BEST, text)


def best_config(config: Config, goal: Goal, best: Trial, of: int) -> str:
    """The config with the settings of a trial, which `gyrfalcon run` takes from any folder."""
    spec = config.with_settings(best.settings)
    base = config.file.parent.absolute()
    etl = spec.etl.placed(base)
    etl = etl.model_copy(update={"start_from": etl.start_from and _placed(etl.start_from, base)})
    placed = {"data": spec.data.placed(base), "etl": etl, "train": _train_placed(spec.train, base)}
    spec = spec.model_copy(update={**placed, "name": f"{spec.name}-best", "tune": None})
    told = f"# Trial {best.number}, the best of {of}: {goal.monitor} {best.value:.4f} on the validation split.\n"
    return told + "".join(f"#   {path}: {json.dumps(value)}\n" for path, value in best.settings.items()) + dump(spec)


def _train_placed(train: TrainSpec, base: Path) -> TrainSpec:
    """The same with the runs that training begins with seen from the root."""
    found = {}
    for side in SIDES:
        part = getattr(train, side)
        if part is not None and part.start_from is not None:
            start = part.start_from.model_copy(update={"run": _placed(part.start_from.run, base)})
            found[side] = part.model_copy(update={"start_from": start})
    return train.model_copy(update=found)


def _placed(run: str, base: Path) -> str:
    """An earlier run that lies where the config does; another one is found by its name among the runs."""
    return str(base / run) if (base / run).exists() else run


def words(settings: Mapping[str, Any]) -> str:
    """Settings in one line, each by the end of its path.

    Example:
        >>> words({"train.retriever.optimizer.rate": 0.01, "train.retriever.model.dropout": 0.2})
        'rate 0.01, dropout 0.2'
    """
    names = short_names(list(settings))
    return ", ".join(f"{names[path]} {shown(value)}" for path, value in settings.items())


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """The ends of paths, as long as they must be to be told apart.

    Example:
        >>> short_names(["a.model.rate", "a.optimizer.rate", "a.model.dim"])
        {'a.model.rate': 'model.rate', 'a.optimizer.rate': 'optimizer.rate', 'a.model.dim': 'dim'}
    """
    found = {}
    for path in paths:
        parts = path.split(".")
        for count in range(1, len(parts) + 1):
            found[path] = ".".join(parts[-count:])
            if sum(f".{other}".endswith(f".{found[path]}") for other in paths) == 1:
                break
    return found


def shown(value: Any) -> str:
    """A value as it stands in a config."""
    return value if isinstance(value, str) else json.dumps(value)


def line(done: Sequence[Trial], goal: Goal) -> str:
    """The last trial in a line, and the best one."""
    last, best = done[-1], trials.best(done, larger_is_better=goal.larger_is_better)
    reached = "" if last.value is None else f", {goal.monitor} {last.value:.4f}"
    how = f", as trial {last.same_as}" if last.same_as else f", {last.reason}" if last.reason else ""
    record = "no trial is complete yet" if best is None else f"best {best.value:.4f} of trial {best.number}"
    return f"trial {last.number}: {last.state}{reached}{how}, {seconds(last.seconds)}; {record}"


def print_table(root: Path) -> None:
    """Print the trials of a search, and what to do with the best.

    Raises:
        UserError: There is no search.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from pipeline.commands.judged import print_table as show

    found = Result.read(root)
    best, names = found.best, short_names(list(found.space))
    table = Table(title=escape(f"{found.name}: {found.goal.monitor} on valid"), title_justify="left")
    for head in ("trial", *names.values(), found.goal.monitor, "epochs", "best epoch", "seconds", "state"):
        table.add_column(escape(head), justify="left" if head == "state" else "right")
    for one in found.trials:
        value = "" if one.value is None else f"{one.value:.4f}"
        state = f"{one.state}{f' (as trial {one.same_as})' if one.same_as else ''}"
        cells = [str(one.number), *(shown(one.settings[path]) for path in names), value, str(len(one.epochs))]
        cells += [str(one.best_epoch or ""), f"{one.seconds:.1f}", f"{state}: {one.reason}" if one.reason else state]
        table.add_row(*map(escape, cells), style="bold" if best and one.number == best.number else "")
    show(table)
    console = Console(highlight=False)
    for told in _next(root, best):
        console.print(told, markup=False, soft_wrap=True)


def _next(root: Path, best: Trial | None) -> list[str]:
    if best is None:
        return ["no trial is complete: see the reasons above"]
    told = "judged on the validation split alone; the test split was not read"
    return [f"report   {root / REPORT}", f"next     gyrfalcon run {root / BEST}   ({told})"]
