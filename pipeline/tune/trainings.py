"""One trial: a model is trained on the training split and judged on the validation split.

The test split is not opened: training reads the part files of `train` and `valid`, and of the interactions the rows of
these two.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from core.errors import UserError
from core.files import read_json
from pipeline.failures import out_of_memory
from pipeline.stages import Context
from pipeline.tune.space import Goal
from pipeline.tune.trials import State
from train.seeds import seed_directory
from train.spec import RankerSpec, RetrieverSpec
from train.track.epochs import Epoch, listening
from train.trainer import Diverged

Hopeless = Callable[[int, float], bool]


class Pruned(Exception):
    """The trial is given up."""


@dataclass(frozen=True)
class Ended:
    """How a training ended; the fields are those of `Trial`."""

    state: State
    value: float | None = None
    best_epoch: int = 0
    epochs: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Training:
    """What a trial trains.

    Attributes:
        context: The run with the settings of the trial, whose ETL is done.
        goal: Which model is trained, and the figure that is wanted.
    """

    context: Context
    goal: Goal

    def run(self, out: Path, hopeless: Hopeless) -> Ended:
        """Train, or go on with what a killed process has left in `out`.

        Args:
            out: The working directory.
            hopeless: Asked after each epoch of the first seed: whether to give up.

        Raises:
            UserError: The data or settings are at fault, so that other trials would fail as well.
        """
        heard = _Heard(self.goal, hopeless, self._first(out), self._part.epochs)
        try:
            with listening(heard):
                self._train(out)
        except Pruned:
            value, epoch = heard.best()
            return Ended("pruned", value, epoch, tuple(heard.epochs), "worse than the median of the others so far")
        except Diverged as error:
            return Ended("failed", epochs=tuple(heard.epochs), reason=error.what)
        except Exception as error:
            if not out_of_memory(error):
                raise
        else:
            return self._reached(out)
        _forget()  # outside of the handler, where nothing holds on to the training any more
        return Ended("failed", epochs=tuple(heard.epochs), reason="there was not enough memory")

    def _train(self, out: Path) -> None:
        from train.ranker import train_ranker
        from train.retriever_training import train_retriever

        context, part = self.context, self._part
        start, seed, device = context.begun_from.get(self.goal.side), context.spec.seed, context.torch_device()
        if isinstance(part, RetrieverSpec):
            train_retriever(context.dataset, part, out, seed=seed, device=device, start_from=start)
        else:
            train_ranker(context.dataset, part, out, seed=seed, device=device, start_from=start, baseline=False)

    @property
    def _part(self) -> RankerSpec | RetrieverSpec:
        """The settings of the model; a trial is not refitted on the rows that judge it."""
        part: RankerSpec | RetrieverSpec = getattr(self.context.spec.train, self.goal.side)
        return part.model_copy(update={"refit": False})

    def _first(self, out: Path) -> Path:
        """Where the only training lies, or that of the first seed."""
        seeds = self._part.seeds
        return seed_directory(out, seeds[0]) if seeds else out

    def _reached(self, out: Path) -> Ended:
        """The wanted figure of the weights that are kept, of several seeds its mean; epochs are those of the first."""
        reached = [self._of_one(seed_directory(out, seed)) for seed in self._part.seeds] or [self._of_one(out)]
        history = read_json(self._first(out) / "history.json")
        epochs = tuple({name: one[name] for name in ("epoch", "train_loss", "valid")} for one in history["epochs"])
        return Ended("complete", sum(reached) / len(reached), int(history["best_epoch"]), epochs)

    def _of_one(self, out: Path) -> float:
        history = read_json(out / "history.json")
        best = [one["valid"] for one in history["epochs"] if one["epoch"] == history["best_epoch"]]
        return float(best[0][self.goal.monitor]) if best else self._counted(out)

    def _counted(self, out: Path) -> float:
        """The figure of a candidate generator that has no epochs."""
        from pipeline.tune.counted import valid_figures

        return valid_figures(self.context.dataset, out, self.goal.monitor, self.context.torch_device())


def _forget() -> None:
    """Give back the memory of a training that failed."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass
class _Heard:
    """Gathers the epochs of the first seed."""

    goal: Goal
    hopeless: Hopeless
    directory: Path
    most: int
    epochs: list[Mapping[str, Any]] = field(default_factory=list)

    def __call__(self, epoch: Epoch) -> None:
        if epoch.directory != self.directory:
            return
        valid = dict(epoch.valid)
        self.epochs.append({"epoch": epoch.number, "train_loss": epoch.train_loss, "valid": valid})
        if not valid:  # an epoch that is not validated
            return
        if self.goal.monitor not in valid:
            cure = f"set tune.monitor to one of: {', '.join(valid)}"
            raise UserError(f"the training gives no figure {self.goal.monitor!r}", where=epoch.where, cure=cure)
        hopeless = self.hopeless(epoch.number, valid[self.goal.monitor])
        if hopeless and epoch.number < self.most:  # what is at its end may as well be complete
            raise Pruned

    def best(self) -> tuple[float, int]:
        """The best figure so far and its epoch."""
        sign = 1.0 if self.goal.larger_is_better else -1.0
        known = [(each["valid"][self.goal.monitor], int(each["epoch"])) for each in self.epochs if each["valid"]]
        return max(known, key=lambda pair: (sign * pair[0], -pair[1]))
