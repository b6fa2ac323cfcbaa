"""Settings of the ETL stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.spec import Spec
from core.union import ByKind
from etl.engines.spec import ENGINE_SPECS, AutoEngine, EngineSpec
from etl.features import FeatureSpec
from etl.leaks import AnyLeaks, LeakSpec
from etl.splits import AnySplit, TimeSplit
from etl.target import TargetSpec


class EtlSpec(Spec):
    """What happens to the raw rows.

    Attributes:
        engine: Where plans run: `auto`, `cpu`, `cudf`, `dask-cuda`, `nvtabular`.
        target: What is to be predicted.
        split: Which rows train, choose and judge.
        features: Columns and the operators that they pass through.
        leaks: What to do about features that may know the answer or the future.

    Example:
        >>> spec = EtlSpec(target={"column": "click"}, split="random", features=[{"columns": ["age"], "ops": ["log"]}])
        >>> spec.model_dump()["split"]
        {'by': 'random', 'valid': 0.1, 'test': 0.1}
    """

    engine: Annotated[EngineSpec, ByKind(ENGINE_SPECS, noun="engine")] = AutoEngine()
    target: TargetSpec
    split: AnySplit = TimeSplit()
    features: tuple[FeatureSpec, ...] = Field(min_length=1)
    leaks: AnyLeaks = LeakSpec()
