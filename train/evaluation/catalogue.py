"""Models that rank the catalogue, side by side: asked of the same users, under the same protocol.

Shapes: Q users who are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core.dataset import FOLD_IN, Dataset
from train.batch import Features
from train.evaluation.baselines import count_baselines
from train.evaluation.found import Found, Judged, Question
from train.evaluation.holdout import Holdout, Lists
from train.evaluation.intervals import interval_words
from train.evaluation.sample import Part
from train.evaluation.sampled import SAMPLED, SampledLists, sampled_lists, sampled_words
from train.evaluation.scorer import Scorer
from train.evaluation.segments import HEAD, Segment, segments
from train.evaluation.spec import EvaluateSpec, SampledSpec
from train.histories import Histories
from train.models.retrieve.base import Facts, Sizes
from train.pairs import Interactions, Tables, read_interactions, read_tables, take
from train.retriever import Retriever, queries_at

SEEN = "Items that the user met in an earlier split, liked or not, are left out of lists and are not to be found."
UNSEEN = "Items that the user met in an earlier split stay in the list (mask_seen: false)."
FOLDED = (
    "Held-out users: nobody learned from a row of theirs. What is folded in is known, left out and not to be found."
)
LISTS = (
    "Equal scores go to the item that comes first in the catalogue (by raw id).",
    "Items that nobody liked in training stay in the catalogue and can be found; they are counted as cold.",
    "Users without a positive in training are asked for too, counted as cold, and shown beside the others as new.",
    "Users with nothing to be found in the split are left out and counted.",
    f"Head items: the most liked ones that hold {HEAD:.0%} of the positive training interactions; tail: others.",
    "Figures of head and tail ask the same lists for such items alone, of the users who want any.",
)

Asked = Callable[[str, Tensor], Scorer]
"""A split and the rows of users -> what ranks the catalogue for them when the split begins."""


@dataclass(frozen=True)
class Catalogue:
    """What all models that rank the catalogue are asked, and their baselines.

    Attributes:
        dataset: What is judged.
        interactions: All of them, on the device where to compute.
        histories: The same in the order of time.
        parts: Segments of users and items.
        spec: The settings.
        splits: Those to judge.
        seconds: How long each baseline took to count.
    """

    dataset: Dataset
    interactions: Interactions
    histories: Histories
    parts: Sequence[Segment]
    spec: EvaluateSpec
    splits: Sequence[str]
    seconds: MutableMapping[str, float] = field(default_factory=dict)
    _counted: dict[str, Asked] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        spec: EvaluateSpec,
        device: torch.device,
        splits: Sequence[str],
        *,
        joined: bool = False,
    ) -> Catalogue:
        """Read a data set; `joined`: the validation split was learned from too, see `train.refit`.

        Raises:
            UserError: It has no users and items, a file is damaged, or a segment is of no known column.
        """
        interactions = read_interactions(dataset)
        interactions = interactions.joined() if joined else interactions
        parts = segments(dataset, interactions, spec.segments)
        interactions = interactions.to(device)
        return cls(dataset, interactions, Histories.of(interactions), parts, spec, splits)

    def judge(self, side: str, model: str, asked: Asked, *, who: str | None = None) -> Found:
        """Judge a model beside the baselines; one of the model's own kind is left out.

        Args:
            side: Under which name in `metrics.json`.
            model: Its kind.
            asked: The model.
            who: What verdicts call the model; by default its side and name.
        """
        models = {model: asked, **self._baselines(model)}
        judged: dict[str, dict[str, Judged]] = {}
        for split in self.splits:
            holdout = Holdout.of(self.interactions, split, mask_seen=self.spec.mask_seen)
            if not holdout.counts["users"]:
                continue
            for name, one in models.items():
                lists = self._lists(holdout, one(split, holdout.user_Q))
                judged.setdefault(split, {})[name] = self._judged(lists, holdout)
        question = Question(side, model, self._decisive(), self.spec.confidence, self.protocol(), who)
        return question.answer(judged)

    def _baselines(self, model: str) -> dict[str, Asked]:
        """Those but the model's own kind; each is counted once."""
        wanted = [one for one in self.spec.baselines if one.kind != model]
        missing = [one for one in wanted if one.kind not in self._counted]
        if missing:
            none, every = Features((), (), ()), self.interactions
            tables = read_tables(self.dataset, none, none).to(every.item_P.device)
            facts = Facts(every.pairs("train"), self.histories.until("valid"), tables)
            sizes = Sizes(none, none, every.users, every.items)
            counted = count_baselines(missing, facts, sizes, seconds=self.seconds)
            self._counted.update({name: asked_of(one, tables, self.histories) for name, one in counted.items()})
        return {one.kind: self._counted[one.kind] for one in wanted}

    def protocol(self) -> list[str]:
        """What the figures mean: without it they mean nothing."""
        spec, many = self.spec, self.interactions.items
        ranked = [f"The whole catalogue of {many} items is ranked for each user; no negatives are sampled."]
        if isinstance(spec.protocol, SampledSpec):
            ranked = sampled_words(spec.protocol)
        lengths = ", ".join(str(k) for k in sorted(set(spec.k)))
        wanted = f"k: {lengths}. What is to be found: the user's interactions of the split whose target is above 0.5."
        seen = [SEEN if spec.mask_seen else UNSEEN]
        seen += [FOLDED] if bool((self.interactions.split_P == FOLD_IN).any()) else []
        kinds = ", ".join(one.kind for one in spec.baselines) or "none"
        rivals = f"Baselines, counted from the training split with the settings of evaluate.baselines: {kinds}."
        return [*ranked, wanted, *seen, *LISTS, rivals, interval_words(spec.confidence)]

    def _decisive(self) -> dict[str, int]:
        sampled = isinstance(self.spec.protocol, SampledSpec)
        names = (f"{SAMPLED}hr", f"{SAMPLED}ndcg") if sampled else ("recall", "ndcg")
        return {f"{name}@{k}": 1 for name in names for k in self.spec.k}

    def _lists(self, holdout: Holdout, scorer: Scorer) -> Lists | SampledLists:
        ks, protocol = sorted(set(self.spec.k)), self.spec.protocol
        if isinstance(protocol, SampledSpec):
            return sampled_lists(holdout, scorer, self.interactions, protocol, ks=ks)
        return holdout.lists(scorer, ks=ks)

    def _judged(self, lists: Lists | SampledLists, holdout: Holdout) -> Judged:
        whole = Part({**lists.whole(), **holdout.counts}, lists.sample())
        found = {}
        for part in self.parts:
            each = lists.of_users(part.there) if part.side == "user" else lists.of_items(part.there)
            if each is not None:
                found[part.by, part.name] = each
        return Judged(whole, found)


def asked_of(retriever: Retriever, tables: Tables, histories: Histories) -> Asked:
    """A candidate generator as what ranks the catalogue when a split begins."""

    def scorer(split: str, user_Q: Tensor) -> Scorer:
        return retriever.scorer(take(queries_at(tables.user, histories, split), user_Q), tables.item)

    return scorer


def settled(spec: EvaluateSpec) -> dict[str, Any]:
    """The settings that decide what a figure of a ranked list means; k does not, since each figure tells its own."""
    protocol = spec.protocol
    ranked = "all items"
    if isinstance(protocol, SampledSpec):
        ranked = f"one among {protocol.negatives} sampled, {protocol.by}, seed {protocol.seed}"
    return {"ranked": ranked, "mask_seen": spec.mask_seen}
