"""Training once more: what the validation split has chosen is trained again on the training and validation split.

DIR/choice/...                        the training that chose the epoch, whole; it is what the validation split judges
DIR/model.safetensors, ...            the same settings, trained for so many epochs on both splits: what is exported

No row is monitored that was trained on. Figures of the test split are those of the second training.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import log
from core.files import read_json
from train.trainer import Outcome

CHOICE = "choice"
"""Where the training that chose the epoch lies, below the directory of the model."""
BOTH = ("train", "valid")
"""The splits that a refit learns from."""


def chosen_then_refitted(
    out: Path, choose: Callable[[Path], dict[str, Any]], again: Callable[[int], dict[str, Any]]
) -> dict[str, Any]:
    """Choose the epoch, then train again.

    Args:
        out: Where the second training works.
        choose: Does the first one in a directory, and tells its figures.
        again: Does the second one, for so many epochs; 0 where the model is counted, not trained.

    Returns:
        The figures of the second one.
    """
    directory = out / CHOICE
    directory.mkdir(parents=True, exist_ok=True)
    epochs = int(choose(directory)["best_epoch"])
    log.get("train").info("refit on %s, epochs: %d", " and ".join(BOTH), epochs)
    return again(epochs)


def forget_choice(out: Path) -> None:
    """Remove what an earlier config has left."""
    shutil.rmtree(out / CHOICE, ignore_errors=True)


def told(out: Path, outcome: Outcome | None) -> tuple[Outcome | None, Mapping[str, Any]]:
    """What the files of a refitted model tell: the epochs of the choice, and beside them those of the refit.

    Args:
        out: The directory of the model.
        outcome: Of the second training.

    Returns:
        What stands as the history, and `{"refit": ...}`.
    """
    losses = [entry["train_loss"] for entry in outcome.history] if outcome else []
    figures = {"refit": {"splits": list(BOTH), "epochs": len(losses), "train_loss": losses}}
    if outcome is None:
        return None, figures
    choice = read_json(out / CHOICE / "history.json")
    return replace(outcome, history=tuple(choice["epochs"]), best_epoch=int(choice["best_epoch"])), figures
