"""Training of a candidate generator on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.dataset import Dataset
from core.errors import UserError
from core.files import hash_file
from train.batch import Batch
from train.checkpoint import remove_checkpoint
from train.determinism import seeded
from train.evaluation.holdout import Holdout
from train.histories import Histories
from train.model_directory import finished, identity, write_model
from train.models.retrieve.base import CountedModel, Facts, RetrieverModel, Scores, Sizes, Towers, TrainedModel
from train.pairs import Interactions, Pairs, read_interactions, read_tables, side_features, take
from train.refit import chosen_then_refitted, forget_choice, told
from train.retriever import Retriever, load_retriever, queries_at, scorer_of
from train.seeds import train_each
from train.spec import RetrieverSpec
from train.trainer import Outcome, Plan, Task, fit
from train.warm_start import NOTHING, Begun, Earlier, begin, require_same_features, require_same_model


def train_retriever(
    dataset: Dataset,
    spec: RetrieverSpec,
    out: Path,
    *,
    seed: int,
    device: torch.device,
    start_from: Path | None = None,
) -> dict[str, Any]:
    """Train a candidate generator on the positive training interactions.

    Writes `model.safetensors`, `model.json` and `history.json` into `out`, and those of each of `spec.seeds` into
    `out/seed-N`; then `out` holds the files of the best one. What a killed run has left in `out` is taken
    up; the result is the same as if it had not been killed, to the bit on the CPU.

    Args:
        dataset: The data set; it must know users and items.
        spec: The settings.
        out: The working directory.
        seed: What weights, order, negatives and dropout are drawn from, where `spec.seeds` is empty.
        device: Where to train.
        start_from: Where the run of `spec.start_from` lies; by default seen from the working directory.

    Returns:
        Figures for the manifest: pairs, pairs a second, epochs, parameters.

    Raises:
        UserError: There are no users and items, no positive to learn from or to find, the loss is no longer a
            number, or the earlier run's model does not fit.
    """
    interactions = read_interactions(dataset)
    user, item = side_features(dataset, "user"), side_features(dataset, "item")
    single, hashes = spec.model_copy(update={"seeds": ()}), _hashes(dataset)
    start = Earlier.of(spec.start_from, "retriever", start_from)
    sizes = Sizes(user, item, interactions.users, interactions.items)
    job = _Training(dataset, interactions, sizes, single, seed, device, start)

    def one(seed: int, directory: Path) -> dict[str, Any]:
        again = replace(job, seed=seed)
        if not spec.refit:
            forget_choice(directory)
            return again.run(directory, hashes)
        first = replace(again, spec=single.model_copy(update={"refit": False}))

        def refitted(epochs: int) -> dict[str, Any]:
            return replace(again, interactions=interactions.joined(), refit=epochs).run(directory, hashes)

        return chosen_then_refitted(directory, lambda out: first.run(out, hashes), refitted)

    return train_each(spec.seeds, one, out, seed=seed, larger_is_better=True)


@dataclass(frozen=True)
class _Trained:
    """What came of a training; without an outcome it was counted."""

    module: Towers | Scores
    outcome: Outcome | None = None
    begun: Begun = NOTHING


@dataclass(frozen=True)
class _Training:
    """Everything that a training reads."""

    dataset: Dataset
    interactions: Interactions
    sizes: Sizes
    spec: RetrieverSpec
    seed: int
    device: torch.device
    start: Earlier | None = None
    refit: int | None = None

    @property
    def pairs(self) -> Pairs:
        """What is learned from."""
        pairs = self.interactions.pairs("train")
        if not len(pairs):
            raise UserError(
                "no training interaction has a target above 0.5, so there is nothing to recommend by",
                where=str(self.dataset.interactions_file),
                cure="look at etl.target",
            )
        return pairs

    def run(self, out: Path, hashes: Mapping[str, str]) -> dict[str, Any]:
        """Train into `out`, unless it is done."""
        features, start = [self.sizes.user, self.sizes.item], self.start.digest() if self.start else None
        seed, device = self.seed, self.device
        run = identity(self.spec, features, hashes, seed=seed, device=device, start=start, refit=self.refit)
        done = finished(out, run, more=["pairs"])
        if done is None:
            there = replace(self, interactions=self.interactions.to(device))
            trained = there.train(out, run)
            retriever = Retriever(trained.module, self.sizes, self.spec)
            more = {"pairs": len(there.pairs)}
            if self.refit is not None:
                outcome, refit = told(out, trained.outcome)
                trained, more = replace(trained, outcome=outcome), {**more, **refit}
            done = _write(out, retriever, trained, run=run, seed=seed, more=more)
        remove_checkpoint(out)
        return done

    def train(self, out: Path, run: str) -> _Trained:
        """Train, by whichever way the model knows."""
        model, pairs = self.spec.model, self.pairs
        with seeded(self.seed, self.device):
            module = model.build(self.sizes).to(self.device)
            tables = read_tables(self.dataset, self.sizes.user, self.sizes.item).to(self.device)
            histories = Histories.of(self.interactions)
            begun = self._begun(module)
            facts = Facts(pairs, histories.until("valid"), tables, begun.learned)
            if isinstance(model, CountedModel):
                model.fill(module, facts)
                return _Trained(module.eval())
            task = self._task(model, module, facts, queries_at(tables.user, histories, "valid"))
            plan = replace(self._plan(run), epochs_only=self.refit)
            outcome = fit(replace(task, memory=begun.memory), plan, out, device=self.device)
        if self.spec.precision != "float32":
            outcome = replace(outcome, arithmetic=f"{outcome.arithmetic}, {self.spec.precision}")
        return _Trained(module.eval(), outcome, begun)

    def _begun(self, module: Towers | Scores) -> Begun:
        """Give a fresh module what an earlier run has learned, if it is asked for."""
        start, sizes = self.start, self.sizes
        if start is None:
            return NOTHING
        old = load_retriever(start.directory)
        require_same_model(start, old.spec, self.spec)
        for before, now in ((old.user_features, sizes.user), (old.item_features, sizes.item)):
            require_same_features(start, before, now)
        return begin(start, old.module, module, self.dataset, self.spec.model)

    def _task(self, model: RetrieverModel, module: Towers | Scores, facts: Facts, users: Batch) -> Task:
        if not isinstance(model, TrainedModel):
            raise TypeError(f"{model.kind} can neither be counted nor trained")
        batches = model.batches(facts, batch_size=self.spec.batch_size, seed=self.seed)
        validate = self._validation(module, facts, users) if self.refit is None else dict
        objective = model.objective(module, facts)
        rounded = self.spec.precision == "bfloat16"

        def loss(batch: Batch) -> Tensor:
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=rounded):
                return objective(batch)

        return Task(module, loss, batches, validate, settle=module.settle)

    def _validation(self, module: Towers | Scores, facts: Facts, users: Batch) -> Callable[[], Mapping[str, float]]:
        """What the validation split says of the module."""
        holdout = Holdout.of(self.interactions, "valid")
        if not len(holdout.user_Q):
            raise UserError(
                "the validation split holds no positive that its user has not met before",
                where=str(self.dataset.interactions_file),
                cure="give the validation split a larger share (etl.split.valid)",
            )
        holdout = holdout if self.spec.validate_users is None else holdout.some(self.spec.validate_users)
        k, queries = self.spec.monitor_k, take(users, holdout.user_Q)

        def validate() -> Mapping[str, float]:
            figures = holdout.figures(scorer_of(module, queries, facts.tables.item), ks=[k])["all"]
            return {name: figures[name] for name in (f"recall@{k}", f"ndcg@{k}")}

        return validate

    def _plan(self, run: str) -> Plan:
        spec = self.spec
        return Plan(
            name=f"retriever {spec.model.kind}",
            where="train.retriever",
            run=run,
            epochs=spec.epochs,
            optimizer=spec.optimizer,
            monitor=_monitor(spec),
            larger_is_better=True,
            patience=spec.patience,
            checkpoint_seconds=spec.checkpoint_seconds,
            average=spec.average,
            keep_optimizer=spec.keep_optimizer,
            validate_every=spec.validate_every,
        )


def _write(
    out: Path, retriever: Retriever, trained: _Trained, *, run: str, seed: int, more: Mapping[str, Any]
) -> dict[str, Any]:
    description = {
        "run": run,
        "seed": seed,
        "user_features": asdict(retriever.user_features),
        "item_features": asdict(retriever.item_features),
        "users": retriever.sizes.users,
        "items": retriever.items,
        **trained.begun.description(),
    }
    spec, outcome = retriever.spec, trained.outcome
    monitor = _monitor(spec)
    return write_model(out, retriever.module, spec, outcome, monitor=monitor, description=description, more=more)


def _monitor(spec: RetrieverSpec) -> str:
    return f"recall@{spec.monitor_k}"


def _hashes(dataset: Dataset) -> dict[str, str]:
    """Of the files that training reads."""
    files = [dataset.interactions_file, dataset.features_file("user"), dataset.features_file("item")]
    return {file.name: hash_file(file) for file in files if file.exists()}
