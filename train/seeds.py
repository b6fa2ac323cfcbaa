"""One config trained from several seeds: how much of a figure is luck.

DIR/seed-N/...                         each training, whole
DIR/seeds.json                         what each reached on the validation split, and which is the best
DIR/model.safetensors, history.json, model.json    copies of the best one's: what is judged and exported as the model
DIR/choice/..., optimizer.safetensors  its others, where it has them (`train.refit`, `keep_optimizer`)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core import log
from core.files import read_json, write_bytes, write_json
from train.checkpoint import OPTIMIZER
from train.model_directory import WEIGHTS
from train.refit import CHOICE

VERSION = 1
FILE = "seeds.json"
COPIED = (
    *(f"{CHOICE}/{name}" for name in (WEIGHTS, OPTIMIZER, "history.json", "model.json")),
    *(WEIGHTS, OPTIMIZER, "history.json", "model.json"),
)  # model.json comes last, and so vouches for the other two

TrainOne = Callable[[int, Path], dict[str, Any]]


def seed_directory(directory: Path, seed: int) -> Path:
    """Where the training from a seed lies."""
    return directory / f"seed-{seed}"


def train_each(seeds: Sequence[int], one: TrainOne, out: Path, *, seed: int, larger_is_better: bool) -> dict[str, Any]:
    """Train once from each seed and put the best in front; without seeds, train once from `seed`.

    The best is the one whose best epoch has the best validation figure, the first of equal ones. What a killed run
    has left is taken up: trainings that are done are not repeated.

    Args:
        seeds: The seeds; may be empty.
        one: Trains from a seed into a directory, and gives figures for the manifest.
        out: The working directory.
        seed: The seed where `seeds` is empty.
        larger_is_better: Which validation figures are better.

    Returns:
        Figures of the best one; with seeds, those of each under `seeds`, by seed.
    """
    _remove_others(out, seeds)
    if not seeds:
        return one(seed, out)
    figures = {}
    for number, each in enumerate(seeds, start=1):
        log.get("train").info("seed %d (%d of %d)", each, number, len(seeds))
        figures[each] = one(each, seed_directory(out, each))
    reached = {each: _reached(seed_directory(out, each)) for each in seeds}
    sign = 1.0 if larger_is_better else -1.0
    best = max(seeds, key=lambda each: sign * reached[each].get("value", 0.0))
    write_json(out / FILE, {"version": VERSION, "best": best, "seeds": {str(each): reached[each] for each in seeds}})
    _put_in_front(seed_directory(out, best), out)
    return {**figures[best], "seeds": {str(each): figures[each] for each in seeds}}


def trained_seeds(directory: Path) -> tuple[int, ...]:
    """The seeds that a model was trained from, the best first; empty where it was trained once."""
    file = directory / FILE
    if not file.exists():
        return ()
    value = read_json(file)
    best = int(value["best"])
    return best, *(seed for seed in sorted(int(name) for name in value["seeds"]) if seed != best)


def _reached(directory: Path) -> Mapping[str, Any]:
    """The validation figure that chose the epoch; empty for a model that is counted, not trained."""
    history = read_json(directory / "history.json")
    best, monitor = history["best_epoch"], history["monitor"]
    values = [entry["valid"][monitor] for entry in history["epochs"] if entry["epoch"] == best]
    return {"monitor": monitor, "value": values[0], "epoch": best} if values else {}


def _put_in_front(best: Path, out: Path) -> None:
    """Copy the files of the best one, unless they are there."""
    last = out / COPIED[-1]
    if last.exists() and last.read_bytes() == (best / COPIED[-1]).read_bytes():
        return
    last.unlink(missing_ok=True)
    for name in COPIED:
        if (best / name).exists():
            (out / name).parent.mkdir(exist_ok=True)
            write_bytes(out / name, (best / name).read_bytes())
        else:
            (out / name).unlink(missing_ok=True)


def _remove_others(out: Path, seeds: Sequence[int]) -> None:
    """Remove trainings from other seeds that an earlier config left here."""
    kept = {seed_directory(out, seed) for seed in seeds}
    for old in set(out.glob("seed-*")) - kept:
        shutil.rmtree(old)
    if not seeds:
        (out / FILE).unlink(missing_ok=True)
