"""Settings of a search.

tune:
trials: 50
monitor: recall@20
space:
train.retriever.optimizer.embedding_rate: {low: 1e-4, high: 1e-1, log: true}
train.retriever.model.embedding_dim: [32, 64, 128]
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from core.spec import Spec, fault_at
from core.union import ByKind

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Number = int | float


class RangeSpec(Spec):
    """Numbers between two ends, both possible; whole numbers where all that is typed is whole.

    Attributes:
        low: The lower end.
        high: The upper end.
        step: Only `low`, `low + step`, ...; None: every number (every whole number).
        log: Draw evenly by the logarithm: as many between 0.001 and 0.01 as between 0.01 and 0.1.

    Example:
        >>> RangeSpec(low=1, high=8).whole, RangeSpec(low=0, high=0.6, step=0.1).whole
        (True, False)
    """

    low: Number
    high: Number
    step: Number | None = None
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise fault_at(("high",), f"must be above low ({self.low}), got {self.high}", self.high)
        if self.log and self.low <= 0:
            raise fault_at(("low",), f"must be above 0 where log is true, got {self.low}", self.low)
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            told = f"must be above 0 and at most high - low ({self.high - self.low:g}), got {self.step}"
            raise fault_at(("step",), told, self.step)
        if self.log and self.step is not None:
            raise fault_at(("step",), "doesn't go with log: true; leave one of the two out", self.step)
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return all(isinstance(one, int) for one in (self.low, self.high, self.step) if one is not None)


def last(of: RangeSpec) -> float:
    """The largest number that can be drawn: `high`, or the last step that is not above it.

    Example:
        >>> last(RangeSpec(low=1, high=8, step=3)), last(RangeSpec(low=1, high=8))
        (7, 8)
    """
    if of.step is None:
        return of.high
    steps = math.floor((of.high - of.low) / of.step + 1e-9)
    found = of.low + steps * of.step
    return found if of.whole else min(float(f"{found:.12g}"), of.high)


class ChoicesSpec(Spec):
    """Some values, of any kind, in no order; a list alone means the same.

    Attributes:
        choices: The values.
    """

    choices: Annotated[tuple[Any, ...], Field(min_length=1)]


def _shape(value: Any) -> str:
    listed = isinstance(value, ChoicesSpec) or (isinstance(value, dict) and "choices" in value)
    return "<choices>" if listed else "<range>"


def _listed(value: Any) -> Any:
    return {"choices": value} if isinstance(value, list | tuple) else value


Dimension = Annotated[
    Annotated[ChoicesSpec, Tag("<choices>")] | Annotated[RangeSpec, Tag("<range>")],
    Discriminator(_shape),
    BeforeValidator(_listed, json_schema_input_type=list[Any] | ChoicesSpec | RangeSpec),
]
"""What one setting may be: `{low: ..., high: ...}` or `[a, b, c]`."""


class SamplerSpec(Spec):
    """How the next settings are chosen."""


class TpeSpec(SamplerSpec):
    """The tree-structured Parzen estimator (Bergstra et al., 2011): where good trials lie closer than bad ones.

    Attributes:
        startup: Trials that are drawn at random before it begins.
    """

    startup: Positive = 10


class RandomSpec(SamplerSpec):
    """Each trial is drawn at random, whatever came of the others."""


SAMPLERS: dict[str, type[Spec]] = {"tpe": TpeSpec, "random": RandomSpec}


class PrunerSpec(Spec):
    """When a trial is given up before its end."""


class MedianSpec(PrunerSpec):
    """A trial ends when its best epoch so far is worse than the median of the finished trials at that epoch.

    Attributes:
        startup: Finished trials before any is given up.
        warmup: Epochs that every trial may train.
    """

    startup: Count = 5
    warmup: Count = 0


class NoneSpec(PrunerSpec):
    """Every trial trains to its end."""


PRUNERS: dict[str, type[Spec]] = {"median": MedianSpec, "none": NoneSpec}


class TuneSpec(Spec):
    """A search for settings.

    Attributes:
        space: What each setting may be, by its dotted path in the config.
        trials: How many settings are tried.
        seconds: No further trial begins once the trials took so long together; None: no limit.
        monitor: The figure of the validation split that is to be good; None: the one that chooses the epoch.
        sampler: How the next settings are chosen.
        pruner: When a trial is given up.
        seed: What the settings are drawn from; None: the seed of the run.
        keep: Whose weights stay on the disk: those of the best trial, or of all.
    """

    space: Annotated[dict[str, Dimension], Field(min_length=1)]
    trials: Positive = 50
    seconds: Annotated[float, Field(gt=0)] | None = None
    monitor: str | None = None
    sampler: Annotated[SamplerSpec, ByKind(SAMPLERS, noun="sampler")] = TpeSpec()
    pruner: Annotated[PrunerSpec, ByKind(PRUNERS, noun="pruner")] = MedianSpec()
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    keep: Literal["best", "all"] = "best"
