"""Settings of a whole run: what a config file holds."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from core.spec import fault_at
from core.suggest import did_you_mean
from etl.rows import RepeatsRule
from pipeline.etl_spec import EtlRunSpec
from pipeline.track.spec import TrackSpec
from pipeline.tune.spec import TuneSpec
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
        tune: What `gyrfalcon tune` searches; a run does not look at it.
        track: Where a run is written down beside its directory.
    """

    train: TrainSpec
    evaluate: EvaluateSpec = EvaluateSpec()
    export: ExportSpec = ExportSpec()
    tune: TuneSpec | None = None
    track: TrackSpec | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.train.retriever is None and self.train.ranker is None:
            raise fault_at(("train",), "needs a `retriever`, a `ranker` or both")
        roles = self.data.all_roles()
        if self.train.retriever is not None and not (roles.user and roles.item):
            cure = "name their columns in `data.roles`, or leave the retriever out"
            raise fault_at(("train", "retriever"), f"must know users and items; {cure}")
        return self

    @model_validator(mode="after")
    def _targets_are_known(self) -> Self:
        ranker, names = self.train.ranker, [goal.name for goal in self.etl.goals]
        if ranker is None:
            return self
        if ranker.target is not None and ranker.target not in names:
            told = f"names no target of etl.targets; {did_you_mean(ranker.target, names)}"
            raise fault_at(("train", "ranker", "target"), told, ranker.target)
        named = {("train", "ranker", "weights"): ranker.weights, ("export", "rank_by"): self.export.rank_by}
        for place, given in named.items():
            for name in given:
                if name not in names:
                    raise fault_at((*place, name), f"is of no target of etl.targets; {did_you_mean(name, names)}")
        return self

    @model_validator(mode="after")
    def _rankers_have_what_they_need(self) -> Self:
        ranker, roles, main = self.train.ranker, self.data.all_roles(), self.etl.goals[0].rule
        if ranker is None:
            return self
        if ranker.history is not None and not (roles.user and roles.item and roles.time):
            cure = "name their columns in `data.roles` (user, item, time), or leave the history out"
            raise fault_at(("train", "ranker", "history"), f"must know users, items and moments; {cure}")
        late = {rule.name for rule in self.etl.rows if isinstance(rule, RepeatsRule)}
        if ranker.history is not None and ranker.history.positives_only and main.column in late:
            told = f"would tell {main.column} of earlier rows before it is known; set `positives_only: false`"
            raise fault_at(("train", "ranker", "history"), told)
        if ranker.negatives is not None and not (main.every_row and roles.user and roles.item):
            told = "are for users and items whose rows are all positive"
            cure = "say `etl.target: {every_row: true}` and name both in `data.roles`, or leave the negatives out"
            raise fault_at(("train", "ranker", "negatives"), f"{told}; {cure}")
        decides = next((goal.rule for goal in self.etl.goals if goal.name == ranker.target), main)
        if ranker.negatives is None and decides.every_row:
            cure = "add `negatives: {count: 4}`, or leave the ranker out"
            raise fault_at(("train", "ranker"), f"has nothing to tell apart where every row is positive; {cure}")
        return self

    @model_validator(mode="after")
    def _the_catalogue_has_a_ranker(self) -> Self:
        roles = self.data.all_roles()
        if self.evaluate.ranker_catalogue and not (self.train.ranker and roles.user and roles.item):
            told = "needs a ranker, users and items; give `train.ranker` and `data.roles`, or set it to false"
            raise fault_at(("evaluate", "ranker_catalogue"), told)
        return self
