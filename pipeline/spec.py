"""Settings of a whole run: what a config file holds."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from core.spec import fault_at
from pipeline.etl_spec import EtlRunSpec
from serve.spec import ExportSpec
from train.evaluation.spec import EvaluateSpec
from train.spec import TrainSpec


class RunSpec(EtlRunSpec):
    """A complete run.

    Attributes:
        name: Name of its directory under `runs/`.
        seed: What every random choice comes from.
        data: Raw rows.
        etl: What happens to them.
        train: What learns from them.
        evaluate: How the result is judged.
        export: What the bundle holds.
    """

    train: TrainSpec
    evaluate: EvaluateSpec = EvaluateSpec()
    export: ExportSpec = ExportSpec()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.train.retriever is None and self.train.ranker is None:
            raise fault_at(("train",), "needs a `retriever`, a `ranker` or both")
        roles = self.data.all_roles()
        if self.train.retriever is not None and not (roles.user and roles.item):
            cure = "name their columns in `data.roles`, or leave the retriever out"
            raise fault_at(("train", "retriever"), f"must know users and items; {cure}")
        return self
