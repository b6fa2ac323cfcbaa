"""Settings of the ETL stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from core.spec import Spec, fault_at
from core.union import ByKind
from etl.care.leaks import AnyLeaks, LeakSpec
from etl.dataset.splits import AnySplit, TimeSplit
from etl.dataset.target import Goal, TargetName, TargetSpec, goals
from etl.engines.spec import ENGINE_SPECS, AutoEngine, EngineSpec, NvtabularEngineSpec
from etl.features import FeatureSpec
from etl.ops.given import placed
from etl.ops.windows.clock import seconds
from etl.rows import AnyRule, RepeatsRule


class EtlSpec(Spec):
    """What happens to the raw rows.

    Attributes:
        engine: Where plans run: `auto`, `cpu`, `cudf`, `dask-cuda`, `nvtabular`.
        rows: Which rows there are at all: rules that are applied one after another before everything else.
        target: What is to be predicted.
        targets: The same for several, by name, instead of `target`. The first is the main one: candidate generators
            and everything else that knows one target go by it.
        split: Which rows train, choose and judge.
        features: Columns and the operators that they pass through.
        leaks: What to do about features that may know the answer or the future.
        start_from: Directory of an earlier run, data set or saved workflow with the same features: what it learned
            is gone on from, and known categories keep their ids. A path from the folder of the config.

    Example:
        >>> spec = EtlSpec(target={"column": "click"}, split="random", features=[{"columns": ["age"], "ops": ["log"]}])
        >>> spec.model_dump()["split"]
        {'by': 'random', 'valid': 0.1, 'test': 0.1}
    """

    engine: Annotated[EngineSpec, ByKind(ENGINE_SPECS, noun="engine")] = AutoEngine()
    rows: tuple[AnyRule, ...] = ()
    target: TargetSpec | None = None
    targets: dict[TargetName, TargetSpec] = Field(default_factory=dict)
    split: AnySplit = TimeSplit()
    features: tuple[FeatureSpec, ...] = Field(min_length=1)
    leaks: AnyLeaks = LeakSpec()
    start_from: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _can_go_on(self) -> Self:
        if self.start_from is not None and isinstance(self.engine, NvtabularEngineSpec):
            told = "NVTabular can't go on from an earlier fit; take another engine, or leave start_from out"
            raise fault_at(("start_from",), told, self.start_from)
        return self

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The targets, the main one first."""
        return goals(self.target, self.targets)

    @model_validator(mode="after")
    def _something_to_predict(self) -> Self:
        if self.target is None and not self.targets:
            raise fault_at(("target",), "is missing: what is to be predicted? (`target: {column: ...}`, or `targets`)")
        if self.target is not None and self.targets:
            raise fault_at(("targets",), "stands beside `target`; keep one of the two")
        for goal in self.goals[1:]:
            if goal.rule.every_row:
                told = "every row of a further target would be positive, so nothing could be learned of it"
                raise fault_at(("targets", goal.name), f"{told}; leave it out, or let it be the first")
        return self

    @model_validator(mode="after")
    def _answers_are_known(self) -> Self:
        """A label that takes time to come is not there for the last rows before a cut."""
        for rule in self.rows:
            if isinstance(rule, RepeatsRule) and rule.name in [goal.rule.column for goal in self.goals]:
                gap = seconds(self.split.gap) if isinstance(self.split, TimeSplit) else 0.0
                if gap < seconds(rule.within):
                    cure = f"set `split: {{by: time, gap: {rule.within}}}`"
                    told = (
                        f"the target {rule.name} is known {rule.within} later, so a model would learn from the future"
                    )
                    raise fault_at(("split",), f"{told}; {cure}")
        return self

    def placed(self, base: Path) -> Self:
        """The same settings; relative paths of tables that operators name start from `base`."""
        return self.model_copy(update={"features": placed(self.features, base)})
