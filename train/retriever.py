"""Candidate generators on disk: train one, load one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.dataset import Dataset
from core.errors import UserError
from core.files import hash_file
from train.batch import Batch, Features
from train.checkpoint import load_tensors, remove_checkpoint
from train.determinism import seeded
from train.holdout import Holdout
from train.model_directory import WEIGHTS, features_of, finished, identity, reading, write_model
from train.models.popularity import PopularitySpec
from train.models.retriever import CountedModel, RetrieverModel, Towers, TrainedModel
from train.pairs import Interactions, PairLoader, Pairs, Tables, read_interactions, read_tables, side_features, take
from train.spec import RetrieverSpec
from train.trainer import Outcome, Plan, Task, fit

ROWS = 8192
"""Entities whose vectors are computed at a time: always as many, so that no setting moves a digit."""


@dataclass(frozen=True)
class Retriever:
    """A trained candidate generator: the inner product of a user's and an item's vector ranks.

    Attributes:
        towers: Both modules, in eval mode.
        user_features: What the query module reads.
        item_features: What the item module reads.
        items: Size of the catalogue.
        spec: How it was trained.
    """

    towers: Towers
    user_features: Features
    item_features: Features
    items: int
    spec: RetrieverSpec

    @property
    def query_module(self) -> nn.Module:
        """Batch of users -> vector_BD."""
        return self.towers.query

    @property
    def item_module(self) -> nn.Module:
        """Batch of items, with `extra[pairs.ENTITY]` -> vector_BD."""
        return self.towers.item

    def user_vectors(self, users: Batch) -> Tensor:
        """Query vectors, float32 [users, D]."""
        return vectors(self.towers.query, users)

    def item_vectors(self, items: Batch) -> Tensor:
        """Item vectors, float32 [items, D], of a batch such as `pairs.entity_batch` gives."""
        return vectors(self.towers.item, items)

    def to(self, device: torch.device) -> Retriever:
        """The same with its weights on a device."""
        return replace(self, towers=self.towers.to(device))


@torch.inference_mode()
def vectors(module: nn.Module, entities: Batch) -> Tensor:
    """Vectors of entities, in blocks; the module is in eval mode."""
    starts = range(0, max(1, len(entities)), ROWS)
    return torch.cat([module(entities.rows(start, start + ROWS)).to(torch.float32) for start in starts])


def popularity(pairs: Pairs, user: Features, item: Features) -> Retriever:
    """The baseline of every candidate generator, counted from the training pairs."""
    model = PopularitySpec()
    towers = model.build(user, item, items=pairs.items).to(pairs.item_P.device)
    model.fill(towers, pairs)
    return Retriever(towers.eval(), user, item, pairs.items, RetrieverSpec(model=model))


def train_retriever(
    dataset: Dataset, spec: RetrieverSpec, out: Path, *, seed: int, device: torch.device
) -> dict[str, Any]:
    """Train a candidate generator on the positive training interactions.

    Writes `model.safetensors`, `model.json` and `history.json` into `out`. What a killed run has left in `out` is taken
    up; the result is the same as if it had not been killed, to the bit on the CPU.

    Args:
        dataset: The data set; it must know users and items.
        spec: The settings.
        out: The working directory.
        seed: What weights, order, negatives and dropout are drawn from.
        device: Where to train.

    Returns:
        Figures for the manifest: pairs, pairs a second, epochs, parameters.

    Raises:
        UserError: There are no users and items, no positive to learn from or to find, or the loss is no longer a
            number.
    """
    interactions = read_interactions(dataset)
    user, item = side_features(dataset, "user"), side_features(dataset, "item")
    run = identity(spec, [user, item], _hashes(dataset), seed=seed, device=device)
    done = finished(out, run, more=["pairs"])
    if done is None:
        training = _Training(dataset, interactions.to(device), user, item, spec, seed, device)
        towers, outcome = training.run(out, run)
        retriever = Retriever(towers, user, item, interactions.items, spec)
        done = _write(out, retriever, outcome, run=run, seed=seed, pairs=len(training.pairs))
    remove_checkpoint(out)
    return done


def load_retriever(directory: Path) -> Retriever:
    """Load what `train_retriever` wrote, onto the CPU.

    Raises:
        UserError: It is missing, broken, or of a newer version.
    """
    with reading(directory, "retriever") as value:
        spec, items = RetrieverSpec.model_validate(value["spec"]), int(value["items"])
        user, item = features_of(value["user_features"]), features_of(value["item_features"])
        with seeded(0, torch.device("cpu")):
            towers = spec.model.build(user, item, items=items)
        towers.load_state_dict(load_tensors(directory / WEIGHTS))
    return Retriever(towers.eval(), user, item, items, spec)


@dataclass(frozen=True)
class _Training:
    """Everything that a training reads."""

    dataset: Dataset
    interactions: Interactions
    user: Features
    item: Features
    spec: RetrieverSpec
    seed: int
    device: torch.device

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

    def run(self, out: Path, run: str) -> tuple[Towers, Outcome | None]:
        """Train, by whichever way the model knows."""
        model, pairs = self.spec.model, self.pairs
        with seeded(self.seed, self.device):
            towers = model.build(self.user, self.item, items=pairs.items).to(self.device)
            if isinstance(model, CountedModel):
                model.fill(towers, pairs)
                return towers.eval(), None
            tables = read_tables(self.dataset, self.user, self.item).to(self.device)
            outcome = fit(self._task(model, towers, tables, pairs), self._plan(run), out, device=self.device)
        return towers.eval(), outcome

    def _task(self, model: RetrieverModel, towers: Towers, tables: Tables, pairs: Pairs) -> Task:
        if not isinstance(model, TrainedModel):
            raise TypeError(f"{model.kind} can neither be counted nor trained")
        holdout = Holdout.of(self.interactions, "valid")
        if not len(holdout.user_Q):
            raise UserError(
                "the validation split holds no positive that its user has not met before",
                where=str(self.dataset.interactions_file),
                cure="give the validation split a larger share (etl.split.valid)",
            )
        k = self.spec.monitor_k

        def validate() -> Mapping[str, float]:
            towers.settle()
            query_QV = vectors(towers.query, take(tables.user, holdout.user_Q))
            figures = holdout.figures(query_QV, vectors(towers.item, tables.item), ks=[k])["all"]
            return {name: figures[name] for name in (f"recall@{k}", f"ndcg@{k}")}

        objective = model.objective(towers, tables, pairs)
        return Task(towers, objective, PairLoader(pairs, self.spec.batch_size, seed=self.seed), validate)

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
        )


def _write(
    out: Path, retriever: Retriever, outcome: Outcome | None, *, run: str, seed: int, pairs: int
) -> dict[str, Any]:
    description = {
        "run": run,
        "seed": seed,
        "user_features": asdict(retriever.user_features),
        "item_features": asdict(retriever.item_features),
        "items": retriever.items,
    }
    spec, more = retriever.spec, {"pairs": pairs}
    monitor = _monitor(spec)
    return write_model(out, retriever.towers, spec, outcome, monitor=monitor, description=description, more=more)


def _monitor(spec: RetrieverSpec) -> str:
    return f"recall@{spec.monitor_k}"


def _hashes(dataset: Dataset) -> dict[str, str]:
    """Of the files that training reads."""
    files = [dataset.interactions_file, dataset.features_file("user"), dataset.features_file("item")]
    return {file.name: hash_file(file) for file in files if file.exists()}
