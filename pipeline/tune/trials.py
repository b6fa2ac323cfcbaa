"""What is known of each trial: `trials/N/trial.json`, whole or not there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import UserError
from core.files import read_json, write_json

VERSION = 1
NAME = "trial.json"
State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """A trial that is over.

    Attributes:
        number: Counted from 1.
        settings: What was tried, by dotted path.
        state: How it ended.
        value: The monitored figure: of the kept epoch where it is complete, the best so far where it was given up.
        best_epoch: The epoch of that figure; 0 for a model without epochs.
        epochs: `epoch`, `train_loss` and `valid` figures of each, of the first seed.
        seconds: Time of the process that finished it.
        reason: Why it failed or was given up.
        same_as: The earlier trial with the same settings, whose result this is.
    """

    number: int
    settings: Mapping[str, Any]
    state: State
    value: float | None = None
    best_epoch: int = 0
    epochs: Sequence[Mapping[str, Any]] = ()
    seconds: float = 0.0
    reason: str = ""
    same_as: int | None = None

    def figures(self, monitor: str) -> dict[int, float]:
        """The monitored figure of each validated epoch."""
        return {int(each["epoch"]): each["valid"][monitor] for each in self.epochs if monitor in each["valid"]}


def directory(root: Path, number: int) -> Path:
    """Where a trial works."""
    return root / "trials" / str(number)


def write(root: Path, trial: Trial) -> None:
    """Write down a trial that is over."""
    write_json(directory(root, trial.number) / NAME, {"version": VERSION, **as_json(trial)})


def as_json(trial: Trial) -> dict[str, Any]:
    """A trial as plain JSON values."""
    return {**asdict(trial), "epochs": list(trial.epochs)}


def read(root: Path) -> list[Trial]:
    """The trials that are over, from the first on.

    Raises:
        UserError: A file is broken.
    """
    found: list[Trial] = []
    while (file := directory(root, len(found) + 1) / NAME).exists():
        value = read_json(file)
        try:
            if value.pop("version") > VERSION:
                raise UserError("this trial is of a newer version", where=str(file), cure="update gyrfalcon")
            found.append(Trial(**value))
        except (AttributeError, KeyError, TypeError) as error:
            cure = "remove the directory of the trial, and it is tried again"
            raise UserError(f"this is no trial ({error})", where=str(file), cure=cure) from None
    return found


def best(trials: Sequence[Trial], *, larger_is_better: bool) -> Trial | None:
    """The complete trial with the best figure, the first of equal ones.

    Example:
        >>> found = [Trial(1, {}, "complete", 0.2), Trial(2, {}, "pruned", 0.3), Trial(3, {}, "complete", 0.2)]
        >>> best(found, larger_is_better=True).number
        1
    """
    sign = 1.0 if larger_is_better else -1.0
    done = [(sign * one.value, one) for one in trials if one.state == "complete" and one.value is not None]
    return max(done, key=lambda pair: (pair[0], -pair[1].number))[1] if done else None


def best_so_far(trials: Sequence[Trial], *, larger_is_better: bool) -> list[tuple[int, float]]:
    """The best figure after each trial, from the first complete one on.

    Example:
        >>> found = [Trial(1, {}, "complete", 0.2), Trial(2, {}, "complete", 0.1), Trial(3, {}, "complete", 0.3)]
        >>> best_so_far(found, larger_is_better=True)
        [(1, 0.2), (2, 0.2), (3, 0.3)]
    """
    choose = max if larger_is_better else min
    reached = -math.inf if larger_is_better else math.inf
    found = []
    for one in trials:
        if one.state == "complete" and one.value is not None:
            reached = choose(reached, one.value)
        if math.isfinite(reached):
            found.append((one.number, reached))
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two settings are the same, of the same kind: 1, 1.0 and true are three."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
