"""The one training loop: epochs of steps, validation, early stopping, the best weights, exact resumption."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core import log
from core.errors import UserError
from core.progress import Progress, progress
from train.batch import Batch
from train.batches import Batches
from train.checkpoint import (
    OPTIMIZER,
    Checkpoint,
    Position,
    best_file,
    best_memory_file,
    load_checkpoint,
    load_tensors,
    save_checkpoint,
    save_tensors,
)
from train.determinism import deterministic, random_state, set_random_state
from train.optim.mover import Mover
from train.precision import fast_products
from train.spec import AverageSpec, OptimizerSpec
from train.track.epochs import Epoch, tell
from train.track.events import Events

POINTS = 200
"""How many times an epoch, at most, the loss and the rates are written down for TensorBoard."""


class Diverged(UserError):
    """The loss or the validation figure is no longer a number: these settings don't learn from these data."""


@dataclass(frozen=True)
class Task:
    """What is trained.

    Attributes:
        module: The weights, on the device that batches lie on.
        loss: Batch -> mean loss of its rows, a scalar.
        batches: The training data.
        validate: Figures of the validation split, computed with the module as it is.
        settle: Brings the weights into the form in which they are validated and kept; called after each epoch.
        memory: What the optimizer remembers of an earlier training.
    """

    module: nn.Module
    loss: Callable[[Batch], Tensor]
    batches: Batches
    validate: Callable[[], Mapping[str, float]]
    settle: Callable[[], None] = lambda: None
    memory: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """How it is trained.

    Attributes:
        name: What is trained, in a few words.
        where: Its place in the config, for messages.
        run: What tells this run from another; a checkpoint of another run is not resumed.
        epochs: Most epochs.
        optimizer: How the weights move.
        monitor: The validation figure that decides.
        larger_is_better: Which way.
        patience: Epochs without a better figure before training stops.
        checkpoint_seconds: Time between checkpoints; also one after each epoch.
        average: Which average of the weights is validated and kept in their place.
        keep_optimizer: Keep the optimizer's memory of the best epoch too.
        validate_every: Epochs from one validation to the next; the last epoch is validated too.
        epochs_only: Train so many epochs and keep the last, whatever it gives: nothing is validated. The schedule is
            that of `epochs`.
    """

    name: str
    where: str
    run: str
    epochs: int
    optimizer: OptimizerSpec
    monitor: str
    larger_is_better: bool
    patience: int
    checkpoint_seconds: float
    average: AverageSpec | None = None
    keep_optimizer: bool = False
    validate_every: int = 1
    epochs_only: int | None = None

    @property
    def last(self) -> int:
        """The last epoch, unless training stops before."""
        return self.epochs if self.epochs_only is None else self.epochs_only


@dataclass(frozen=True)
class Outcome:
    """What came of it: the module holds the weights of the best epoch.

    Attributes:
        history: One entry an epoch: `epoch`, `train_loss`, `valid` figures, learning rates.
        best_epoch: The epoch (from 1) that was kept.
        rows: Rows that this process has trained on.
        seconds: Time that it took for their steps.
        arithmetic: How matrix products were computed.
    """

    history: tuple[Mapping[str, Any], ...]
    best_epoch: int
    rows: int
    seconds: float
    arithmetic: str


def fit(task: Task, plan: Plan, out: Path, *, device: torch.device) -> Outcome:
    """Train, or go on with what a killed run has left in `out`.

    Raises:
        Diverged: The loss or the validation figure is no longer a number.
        UserError: The checkpoint is broken; the disk is full.
    """
    with fast_products(device) as arithmetic:
        run = _Run(task, plan, out, device)
        run.resume()
        with Events(out, step=run.step) as events:
            while not run.finished:
                run.epoch(events)
        task.module.load_state_dict(load_tensors(best_file(out, run.position.best_epoch)))
    _keep_memory(plan, out, run.position.best_epoch)
    position = run.position
    return Outcome(position.history, position.best_epoch, run.rows, run.seconds, arithmetic)


def _keep_memory(plan: Plan, out: Path, epoch: int) -> None:
    """Put the optimizer's memory beside the weights, or nothing."""
    (out / OPTIMIZER).unlink(missing_ok=True)
    if plan.keep_optimizer:
        save_tensors(out / OPTIMIZER, load_tensors(best_memory_file(out, epoch)))


class _Run:
    """A training under way."""

    def __init__(self, task: Task, plan: Plan, out: Path, device: torch.device) -> None:
        self._task, self._plan, self._out, self._device = task, plan, out, device
        steps = plan.epochs * task.batches.steps
        self._mover = Mover(task.module, plan.optimizer, steps=steps, average=plan.average)
        self._mover.load(task.memory)
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        # Asking a GPU for the loss waits for it: once in a while is enough, since a NaN stays in the sum.
        self._look_every = 1 if device.type == "cpu" else 100
        self._note_every = max(self._look_every, -(-task.batches.steps // POINTS))
        self._noted = (0.0, 0)  # the epoch's loss and rows at the last note
        self._saved = time.monotonic()
        self.position = Position()
        self.rows, self.seconds = 0, 0.0

    @property
    def step(self) -> int:
        """Steps of the whole training that are done."""
        return self.position.epoch * self._task.batches.steps + self.position.step

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or too many of them brought nothing better."""
        position, plan = self.position, self._plan
        stale = position.epoch - position.best_epoch
        # Between two validations nobody knows whether it became better.
        validated = bool(position.history and position.history[-1]["valid"])
        return position.epoch >= plan.last or (validated and position.step == 0 and stale >= plan.patience)

    def resume(self) -> None:
        """Take up the checkpoint, if there is one."""
        found = load_checkpoint(self._out, self._plan.run)
        if found is None:
            return
        self._restore(found)
        log.get("train").info(
            "%s: going on at epoch %d, step %d", self._plan.name, self.position.epoch + 1, self.position.step + 1
        )
        for entry in self.position.history:
            self._tell(entry)

    def epoch(self, events: Events) -> None:
        """Train one epoch or the rest of it, validate, and write what is to be kept."""
        plan, number = self._plan, self.position.epoch + 1
        started = time.monotonic()
        with progress(f"{plan.name}, epoch {number} of {plan.last}", self._task.batches.rows) as bar:
            bar.advance(min(self.position.step * self._rows_a_step, self._task.batches.rows))
            with deterministic():
                self._steps(bar, events)
        self.seconds += time.monotonic() - started
        self._look()
        self._task.module.eval()
        with self._mover.averaged():
            self._task.settle()
            valid = self._validated(number)
            better = self._keep(valid)
        events.write(self.step, {f"valid/{name}": value for name, value in valid.items()})
        events.flush()
        self._close(valid, better=better)

    def _validated(self, number: int) -> dict[str, float]:
        """The figures of an epoch; none where it is not validated."""
        plan = self._plan
        if plan.epochs_only is not None or (number % plan.validate_every and number < plan.last):
            return {}
        with torch.inference_mode():
            return {name: float(value) for name, value in self._task.validate().items()}

    @property
    def _rows_a_step(self) -> int:
        return -(-self._task.batches.rows // self._task.batches.steps)

    def _steps(self, bar: Progress, events: Events) -> None:
        task, position = self._task, self.position
        self._noted = (float(self._loss), 0)
        rows = 0
        task.module.train()
        for step, batch in enumerate(task.batches.epoch(position.epoch, position.step), start=position.step):
            loss = task.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            self._loss += loss.detach().double() * len(batch)
            self.position = replace(self.position, step=step + 1)
            if (step + 1) % self._look_every == 0:
                self._look()
                bar.note(loss=float(loss.detach()))
            self._mover.step(self.step - 1)
            rows += len(batch)
            if (step + 1) % self._note_every == 0:
                self._note(events, rows)
            self.rows += len(batch)
            bar.advance(len(batch))
            if time.monotonic() - self._saved >= self._plan.checkpoint_seconds:
                self._save()
                events.flush()

    def _note(self, events: Events, rows: int) -> None:
        """Write down the mean loss since the last note, and the rates of the last step."""
        total, (before, rows_before) = float(self._loss), self._noted
        rate, embedding_rate = self._mover.rates(self.step - 1)
        loss = (total - before) / (rows - rows_before)
        events.write(self.step, {"train/loss": loss, "rate/dense": rate, "rate/embedding": embedding_rate})
        self._noted = (total, rows)

    def _look(self) -> None:
        """Stop when the loss is no longer a number."""
        if math.isfinite(float(self._loss)):
            return
        spec, position = self._plan.optimizer, self.position
        raise Diverged(
            f"the loss is no longer a finite number at epoch {position.epoch + 1}, step {position.step}",
            where=self._plan.where,
            cure=f"lower optimizer.rate (now {spec.rate:g}) or optimizer.embedding_rate (now "
            f"{spec.rate_of_embeddings:g}), set optimizer.clip_norm: 1.0 or optimizer.warmup_steps, "
            "and normalize or clip numbers with large values",
        )

    def _keep(self, valid: Mapping[str, float]) -> bool:
        """Keep the weights if they are the best so far, and tell whether they are."""
        number = self.position.epoch + 1
        better = self._is_better(valid) if self._plan.epochs_only is None else number == self._plan.last
        if better:
            save_tensors(best_file(self._out, number), self._task.module.state_dict())
            if self._plan.keep_optimizer:
                steps = number * self._task.batches.steps
                save_tensors(best_memory_file(self._out, number), self._mover.memory(steps))
        return better

    def _is_better(self, valid: Mapping[str, float]) -> bool:
        """Whether an epoch is the best so far."""
        plan, position = self._plan, self.position
        if not valid:
            return False
        value = valid[plan.monitor]
        if math.isnan(value):
            cure = "it may hold one class alone: give it more rows in etl.split"
            raise Diverged(f"the {plan.monitor} of the validation split is not a number", where=plan.where, cure=cure)
        sign = 1.0 if plan.larger_is_better else -1.0
        return position.best_epoch == 0 or sign * value > sign * position.best

    def _close(self, valid: Mapping[str, float], *, better: bool) -> None:
        """Write down an epoch."""
        plan, position = self._plan, self.position
        number = position.epoch + 1
        rate, embedding_rate = self._mover.rates(number * self._task.batches.steps - 1)
        entry = {
            "epoch": number,
            "train_loss": float(self._loss) / self._task.batches.rows,
            "valid": dict(valid),
            "rate": rate,
            "embedding_rate": embedding_rate,
        }
        self.position = Position(
            epoch=number,
            best_epoch=number if better else position.best_epoch,
            best=valid.get(plan.monitor, 0.0) if better else position.best,
            history=(*position.history, entry),
        )
        self._loss.zero_()
        self._save()
        if better and position.best_epoch:
            best_file(self._out, position.best_epoch).unlink(missing_ok=True)
            best_memory_file(self._out, position.best_epoch).unlink(missing_ok=True)
        figures = "".join(f", {name} {figure:.4f}" for name, figure in valid.items()).replace(",", ", valid", 1)
        log.get("train").info("%s, epoch %d: loss %.4f%s", plan.name, number, entry["train_loss"], figures)
        self._tell(entry)

    def _tell(self, entry: Mapping[str, Any]) -> None:
        """Hand an epoch of the history to who listens."""
        tell(Epoch(self._plan.where, self._out, entry["epoch"], entry["train_loss"], entry["valid"]))

    def _save(self) -> None:
        self._look()
        self.position = replace(self.position, loss=float(self._loss))
        parts = {
            "weight": self._task.module.state_dict(),
            "optimizer": self._mover.state(),
            "average": self._mover.average_state(),
            "random": random_state(self._device),
        }
        save_checkpoint(self._out, self.position, parts, self._plan.run)
        self._saved = time.monotonic()

    def _restore(self, found: Checkpoint) -> None:
        self._task.module.load_state_dict(found.part("weight"))
        self._mover.load(found.part("optimizer"))
        self._mover.load_average(found.part("average"))
        set_random_state(found.part("random"), self._device)
        self.position = found.position
        self._loss.fill_(found.position.loss)
