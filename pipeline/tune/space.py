"""The space of a search, checked against the config before the first trial."""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import located, validated
from core.errors import UserError
from core.overrides import apply
from core.suggest import did_you_mean
from core.yaml_positions import Located
from pipeline.tune.spec import ChoicesSpec, Dimension, TuneSpec, last

if TYPE_CHECKING:
    from pipeline.spec import RunSpec

SIDES = ("retriever", "ranker")
JUDGING = frozenset(
    {"monitor", "monitor_k", "seeds", "checkpoint_seconds", "start_from", "keep_optimizer", "refit", "target"}
)
"""Settings of a training that say how it is watched or repeated, not what is learned."""
JUDGED = frozenset({"ranker.negatives"})
"""Settings that draw validation rows too."""
INNER = 0.381966
"""Where between its ends a range is looked at too."""


@dataclass(frozen=True)
class Config:
    """A config with a search.

    Attributes:
        file: Where it was read from; its relative paths begin in the folder.
        located: Its plain data, with the changes of `--set`.
        spec: The same, validated.
    """

    file: Path
    located: Located
    spec: RunSpec

    @classmethod
    def load(cls, file: Path, overrides: tuple[str, ...]) -> Config:
        """Read a config.

        Raises:
            UserError: It is missing or wrong, or says nothing of a search.
        """
        from pipeline.spec import RunSpec

        found = located(file, overrides)
        spec = validated(RunSpec, found)
        if spec.tune is None:
            cure = "add a section `tune: {space: {train.retriever.optimizer.rate: {low: 1e-4, high: 1e-1, log: true}}}`"
            raise UserError("this config says nothing of a search", where=str(file), cure=cure)
        return cls(file, found, spec)

    @property
    def tune(self) -> TuneSpec:
        """The search."""
        assert self.spec.tune is not None
        return self.spec.tune

    def checked(self) -> Goal:
        """What is wanted, once everything about the space is known to be possible.

        Raises:
            UserError: The figure or a dimension is wrong.
        """
        wanted = goal(self)
        check(self, wanted)
        return wanted

    def with_settings(self, settings: Mapping[str, Any]) -> RunSpec:
        """The run with some settings changed.

        Raises:
            UserError: They are impossible.
        """
        from pipeline.spec import RunSpec

        changes = [f"{path}={json.dumps(value)}" for path, value in settings.items()]
        return validated(RunSpec, apply(self._whole, changes))

    @functools.cached_property
    def _whole(self) -> Located:
        """The data with every default spelled out, so that each setting has a path: `model: ease` has no `l2`."""
        whole = self.spec.model_dump(mode="json", by_alias=True, exclude={"tune"})
        return Located(whole, self.located.places)

    def place(self, path: str) -> str:
        """Where a dimension stands in the file."""
        whole: tuple[str, ...] = ("tune", "space", path)
        while whole not in self.located.places:
            whole = whole[:-1]
        return self.located.places[whole].value


@dataclass(frozen=True)
class Goal:
    """What a search wants.

    Attributes:
        side: The model that is trained and judged, `retriever` or `ranker`.
        monitor: The figure of the validation split.
        larger_is_better: Which way.
    """

    side: str
    monitor: str
    larger_is_better: bool


def goal(config: Config) -> Goal:
    """Tell which model is trained and by which figure it is judged.

    Raises:
        UserError: There is no such figure, or no model that it is of.
    """
    monitor = config.tune.monitor
    here = [side for side in SIDES if getattr(config.spec.train, side) is not None]
    touched = {path.split(".")[1] for path in config.tune.space if path.startswith("train.") and path.count(".") > 1}
    candidates = [side for side in here if side in touched] or here
    if monitor is None and len(candidates) > 1:
        named = " or ".join(_default(config.spec, side) for side in candidates)
        raise UserError(
            "tune.monitor is missing: both models could be judged",
            where=config.place(""),
            cure=f"set tune.monitor to {named}; only that model is trained",
        )
    if monitor is None:
        side = candidates[0]
        return Goal(side, _default(config.spec, side), _default(config.spec, side) != "logloss")
    known = {name: side for side in here for name in _figures(config.spec, side)}
    if monitor not in known:
        where = config.located.places.get(("tune", "monitor"), config.located.places[("tune",)]).value
        cure = did_you_mean(monitor, known)
        if re.fullmatch(r"(recall|ndcg)@\d+", monitor) and "retriever" in here:
            cure = f"set train.retriever.monitor_k={monitor.partition('@')[2]}, or choose {cure}"
        raise UserError(f"tune.monitor: there is no validation figure {monitor!r}", where=where, cure=cure)
    return Goal(known[monitor], monitor, not monitor.startswith("logloss"))


def check(config: Config, wanted: Goal) -> None:
    """Look at every dimension by itself: its path, and the values at its ends and between them.

    Raises:
        UserError: A path is no setting or has no influence; a value is impossible. All faults are told.
    """
    faults = [fault for path, one in config.tune.space.items() for fault in _faults(config, wanted, path, one)]
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise UserError("\n".join(map(str, faults)))


def values(dimension: Dimension) -> list[Any] | None:
    """Every value of a dimension; None where they can't be counted.

    Example:
        >>> from pipeline.tune.spec import RangeSpec
        >>> values(RangeSpec(low=1, high=7, step=3)), values(RangeSpec(low=0.0, high=1.0))
        ([1, 4, 7], None)
    """
    if isinstance(dimension, ChoicesSpec):
        return list(dimension.choices)
    if not dimension.whole and dimension.step is None:
        return None
    step = dimension.step or 1
    count = round((last(dimension) - dimension.low) / step) + 1
    return [dimension.low + at * step for at in range(count)]


def size(space: Mapping[str, Dimension]) -> int | None:
    """How many combinations there are; None where they can't be counted."""
    counts = [values(one) for one in space.values()]
    return None if None in counts else math.prod(len(each) for each in counts if each is not None)


def _figures(spec: RunSpec, side: str) -> list[str]:
    """The figures that the training of a model gives after each epoch."""
    if side == "retriever":
        assert spec.train.retriever is not None
        k = spec.train.retriever.monitor_k
        return [f"recall@{k}", f"ndcg@{k}"]
    return ["auc", "logloss"]


def _default(spec: RunSpec, side: str) -> str:
    """The figure that chooses the epoch."""
    monitor = getattr(getattr(spec.train, side), "monitor", None)
    return monitor if monitor in _figures(spec, side) else _figures(spec, side)[0]


def _faults(config: Config, wanted: Goal, path: str, dimension: Dimension) -> Iterator[UserError]:
    where, name = config.place(path), f"tune.space.{path}"
    refused = _refused(wanted, path)
    if refused is not None:
        yield UserError(f"{name}: {refused[0]}", where=where, cure=refused[1])
        return
    for value in _looked_at(dimension):
        try:
            config.with_settings({path: value})
        except UserError as error:
            what = error.what.removeprefix(f"{path}: ")
            yield UserError(f"{name}: {json.dumps(value)}: {what}", where=where, cure=error.cure)
            return


def _refused(wanted: Goal, path: str) -> tuple[str, str] | None:
    """Why a path is not searched, and what to do."""
    first, *rest = path.split(".")
    if first == "etl" and rest[:1] == ["features"] and len(rest) > 1:
        return None
    if first == "train" and len(rest) > 1 and rest[0] in SIDES:
        return _refused_of_side(wanted, rest[0], rest[1])
    told = "this is no setting that training could show the worth of"
    if first in ("etl", "data", "seed"):
        told = "this changes which rows judge, or by luck alone, so trials could not be compared"
    return told, "search settings below train.retriever, train.ranker or etl.features"


def _refused_of_side(wanted: Goal, side: str, setting: str) -> tuple[str, str] | None:
    told = ""
    if side != wanted.side:
        told = f"this can't change {wanted.monitor}, which is the {wanted.side}'s"
        return told, f"search each model by itself, or set tune.monitor to a figure of the {side}"
    if f"{side}.{setting}" in JUDGED:
        told = "this draws the rows that judge too, so trials could not be compared"
    if setting in JUDGING:
        told = "this says how a training is watched, not what it learns"
    return (told, "set it for all trials, in the config") if told else None


def _looked_at(dimension: Dimension) -> list[Any]:
    if isinstance(dimension, ChoicesSpec):
        return list(dimension.choices)
    known = values(dimension)
    if known is not None and len(known) <= 3:
        return known
    low, high = dimension.low, last(dimension)
    inner = low + INNER * (high - low)
    between = int(inner) if dimension.whole else inner
    if dimension.step is not None:
        between = low + dimension.step * math.floor((inner - low) / dimension.step)
    return list(itertools.chain((low, high), (between,)))
