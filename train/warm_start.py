"""Going on learning: a training that begins where an earlier run's has ended.

Ids of features never move (ADR 0009), so the rows of known ids are taken as they are. Users and items are numbered
anew in each data set; rows that belong to them are found by the raw id. What is new starts fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core import log
from core.dataset import Dataset
from core.errors import UserError
from core.files import hash_file, hash_json, hash_tree
from core.spec import Spec
from train.batch import Features
from train.checkpoint import OPTIMIZER, load_tensors
from train.model_directory import WEIGHTS, AnySpec
from train.row_maps import FRESH, Renumbered, row_maps, taken
from train.spec import StartSpec

_log = log.get("train")


@dataclass(frozen=True)
class Earlier:
    """A side of an earlier run.

    Attributes:
        run: Directory of the run.
        side: `ranker` or `retriever`.
        optimizer: Take up the memory of its optimizer too.
        below: Directory of the model below that of the side.
    """

    run: Path
    side: str
    optimizer: bool = False
    below: str = ""

    @classmethod
    def of(cls, spec: StartSpec | None, side: str, run: Path | None) -> Earlier | None:
        """What the settings ask for.

        Args:
            spec: The settings.
            side: `ranker` or `retriever`.
            run: Where the run lies; None: as the settings say, seen from the working directory.
        """
        return None if spec is None else cls(run or Path(spec.run), side, spec.optimizer)

    @property
    def where(self) -> str:
        """Its place in the config."""
        return f"train.{self.side}.start_from"

    @property
    def directory(self) -> Path:
        """Of the model."""
        return self.run / "train" / self.side / self.below

    @property
    def there(self) -> bool:
        """Whether there is such a model."""
        return (self.directory / "model.json").exists()

    @property
    def dataset(self) -> Dataset:
        """What the earlier model was trained on."""
        return Dataset(self.run / "etl")

    def digest(self) -> str:
        """A hash of everything that is taken over: where it lies does not count."""
        files = [self.directory / WEIGHTS, *(self.dataset.entity_file(side) for side in ("users", "items"))]
        files += [self.directory / OPTIMIZER] if self.optimizer else []
        return hash_json({file.name: hash_file(file) for file in files if file.exists()})

    def require_same_ids(self, dataset: Dataset) -> None:
        """Refuse a model whose ids are not those of a data set.

        Raises:
            UserError: The data set's workflow neither is the earlier run's nor was updated from it.
        """
        before, now = (hash_json(hash_tree(one.workflow_dir)) for one in (self.dataset, dataset))
        if before not in (now, dataset.manifest().get("learned", {}).get("earlier")):
            raise UserError(
                f"the features of {self.run} have other ids than those of this run, whose ETL did not go on from there",
                where=self.where,
                cure=f"name the same run in etl.start_from ({self.run.name}), so that known ids stay what they were",
            )

    def memory(self) -> Mapping[str, Tensor]:
        """What the optimizer remembered; empty unless it is to be taken up.

        Raises:
            UserError: The earlier run has not kept it.
        """
        if not self.optimizer:
            return {}
        file = self.directory / OPTIMIZER
        if not file.exists():
            cure = f"set train.{self.side}.keep_optimizer: true in that run and train it again, or leave optimizer out"
            raise UserError("the earlier run has not kept the memory of its optimizer", where=str(file), cure=cure)
        return load_tensors(file)


@dataclass(frozen=True)
class Begun:
    """What a warm start has brought.

    Attributes:
        learned: By name of a weight whose rows have moved: which rows the earlier run brought.
        memory: The optimizer's memory of them.
        figures: By weight: rows that were taken over, that are fresh, and that are no longer there.
    """

    learned: Mapping[str, Tensor] = field(default_factory=dict)
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    figures: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def description(self) -> dict[str, Any]:
        """What `model.json` tells of it."""
        return {"rows_taken_over": self.figures} if self.figures else {}


NOTHING = Begun()
"""A cold start."""


@torch.no_grad()
def begin(earlier: Earlier, old: nn.Module, new: nn.Module, dataset: Dataset, model: Spec) -> Begun:
    """Give a fresh module what an earlier one of the same settings and features has learned, in place.

    Args:
        earlier: Where that lies.
        old: The earlier module.
        new: The fresh one, on its device.
        dataset: What it will be trained on.
        model: Settings of both.

    Raises:
        UserError: The ids are others, or the earlier run has not kept what is asked for.
    """
    earlier.require_same_ids(dataset)
    entity_rows = getattr(model, "entity_rows", {})
    files = {side: (earlier.dataset.entity_file(side), dataset.entity_file(side)) for side in ("users", "items")}
    sides = {side: Renumbered.between(*both) for side, both in files.items()} if entity_rows else {}
    maps = row_maps(old, new, entity_rows=entity_rows, sides=sides, last=getattr(model, "last_rows", 0))
    before = old.state_dict()
    state = {name: taken(before[name], fresh.cpu(), maps.get(name)) for name, fresh in new.state_dict().items()}
    _require_same_shapes(earlier, state, new)
    new.load_state_dict(state)
    memory = _memory(earlier.memory(), maps)
    figures = {name: _counts(source_R, len(before[name])) for name, source_R in maps.items()}
    for name, counts in figures.items():
        told = ", ".join(f"{count} {what}" for what, count in counts.items())
        _log.info("%s starts from %s: rows of %s: %s", earlier.side, earlier.directory, name, told)
    now = new.state_dict()
    learned = {name: (source_R != FRESH).to(now[name].device) for name, source_R in maps.items()}
    return Begun(learned, memory, figures)


def _require_same_shapes(earlier: Earlier, state: Mapping[str, Tensor], new: nn.Module) -> None:
    """Whatever else a model was built for: how long histories are, which targets it has."""
    for name, value in new.state_dict().items():
        if value.shape != state[name].shape:
            shapes = f"{tuple(state[name].shape)}, here it is {tuple(value.shape)}"
            cure = f"take the earlier run's settings of train.{earlier.side}, or leave start_from out"
            raise UserError(f"the earlier model's {name} has the shape {shapes}", where=earlier.where, cure=cure)


def _memory(memory: Mapping[str, Tensor], maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The optimizer's memory, whose rows lie as those of the weights; fresh rows remember nothing."""
    found = {}
    for key, value in memory.items():
        source_R = maps.get(key.rpartition(":")[0])
        if source_R is None or value.dim() == 0:
            found[key] = value
        else:
            found[key] = taken(value, value.new_zeros(len(source_R), *value.shape[1:]), source_R)
    return found


def _counts(source_R: Tensor, before: int) -> dict[str, int]:
    known = len(torch.unique(source_R[source_R != FRESH]))
    return {"kept": known, "fresh": len(source_R) - known, "gone": before - known}


def require_same_model(earlier: Earlier, old: AnySpec, new: AnySpec) -> None:
    """Refuse a model of other settings, and the memory of another optimizer.

    Raises:
        UserError: They differ; names each setting with both values.
    """
    optimizers = [spec.optimizer.embedding for spec in (old, new)]
    if earlier.optimizer and optimizers[0] != optimizers[1]:
        told = "the earlier run moved embeddings by {}, this one does by {}".format(*optimizers)
        cure = f"set train.{earlier.side}.optimizer.embedding: {optimizers[0]}, or leave start_from.optimizer out"
        raise UserError(told, where=earlier.where, cure=cure)
    before, now = old.model.model_dump(mode="json"), new.model.model_dump(mode="json")
    if before.get("kind") != now.get("kind"):
        told = f"the earlier model is a {before.get('kind')}, this one a {now.get('kind')}"
    elif apart := [name for name in now if before.get(name) != now[name]]:
        told = "; ".join(f"{name} is {_value(now[name])}, it was {_value(before.get(name))}" for name in apart)
        told = f"not the settings of the earlier model: {told}"
    else:
        return
    cure = "take the earlier run's settings of the model, or leave start_from out"
    raise UserError(told, where=earlier.where, cure=cure)


def _value(value: Any) -> str:
    return "null" if value is None else str(value)


def require_same_features(earlier: Earlier, old: Features, new: Features) -> None:
    """Refuse other features, or fewer ids of one of them, or of a model of several targets other ones.

    Raises:
        UserError: They differ; names them.
    """
    gone = {"not there now": set(old.names) - set(new.names), "not there then": set(new.names) - set(old.names)}
    told = [f"{', '.join(sorted(names))} {what}" for what, names in gone.items() if names]
    if not told and _form(old) != _form(new):
        told = [f"they were {', '.join(old.names)}, in this order"]
    if not told:
        sizes = zip(new.names, _ids(old), _ids(new), strict=False)
        told = [f"{name} had {before} ids and has {now}" for name, before, now in sizes if now < before]
    if told:
        cure = "take the earlier run's features in the same order, or leave start_from out"
        raise UserError(f"not the features of the earlier model: {'; '.join(told)}", where=earlier.where, cure=cure)
    before, now = ([one.name for one in features.targets] for features in (old, new))
    if before != now and max(len(before), len(now)) > 1:
        # A tower belongs to a target; a model of one target may go on from another one's (from clicks to sales).
        what = f"the earlier model learned {', '.join(before)}, in this order, and this one learns {', '.join(now)}"
        cure = "take the earlier run's targets and train.ranker.target, or leave start_from out"
        raise UserError(what, where=earlier.where, cure=cure)


def _form(features: Features) -> tuple[Any, ...]:
    return features.categorical, features.continuous, [(one.name, one.of) for one in features.lists]


def _ids(features: Features) -> tuple[int, ...]:
    """Ids of each feature, as in `names`; numbers have none."""
    numbers = (0,) * len(features.continuous)
    return (*features.cardinalities, *numbers, *(one.cardinality for one in features.lists))
