"""Settings of evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from core.spec import Spec, custom_error
from core.union import ByKind
from train.models import RETRIEVERS
from train.models.retrieve.base import CountedModel, RetrieverModel
from train.models.retrieve.popularity import PopularitySpec

Positive = Annotated[int, Field(gt=0)]


class ProtocolSpec(Spec):
    """What an item to be found is compared with; the class says which."""


class FullSpec(ProtocolSpec):
    """With the whole catalogue."""


class SampledSpec(ProtocolSpec):
    """With a few drawn items: for published protocols alone, since the catalogue may order models otherwise.

    Source: Krichene & Rendle, 2020, On Sampled Metrics for Item Recommendation.

    Attributes:
        negatives: How many items are drawn for each item to be found.
        by: `uniform`: all items alike; `popularity`: by their number of positive training interactions.
        seed: What they are drawn from.
    """

    negatives: Positive = 99
    by: Literal["uniform", "popularity"] = "uniform"
    seed: Annotated[int, Field(ge=0)] = 0


PROTOCOLS: dict[str, type[ProtocolSpec]] = {"full": FullSpec, "sampled": SampledSpec}
COUNTED: dict[str, type[RetrieverModel]] = {
    name: model for name, model in RETRIEVERS.items() if issubclass(model, CountedModel)
}
"""The candidate generators that are counted in one go: they need no settings that somebody has to find."""


def _distinct(models: tuple[RetrieverModel, ...]) -> tuple[RetrieverModel, ...]:
    kinds = [model.kind for model in models]
    twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
    if twice:
        raise custom_error("baselines", f"the baseline {twice[0]} stands there twice")
    return models


Baselines = Annotated[
    tuple[Annotated[RetrieverModel, ByKind(COUNTED, noun="baseline")], ...], AfterValidator(_distinct)
]


class EvaluateSpec(Spec):
    """How to evaluate.

    Attributes:
        k: List lengths of Recall, NDCG, HR, MRR and MAP.
        mask_seen: Leave what a user has met in an earlier split out of the user's list.
        protocol: What an item to be found is compared with: the whole catalogue (`full`), or drawn items:
            `{kind: sampled, negatives: 99, by: uniform, seed: 0}`.
        baselines: Candidate generators that are counted and judged beside the run's, each a name, or a mapping with
            settings of its own.
        ranker_catalogue: Let the ranker rank every item for every user too, under the same protocol.
        batch_size: Rows scored by the ranker at a time.
        segments: Raw columns of users or items; figures of each of their values are told too.
        confidence: Of the intervals.
    """

    k: Annotated[tuple[Positive, ...], Field(min_length=1)] = (10, 50)
    mask_seen: bool = True
    protocol: Annotated[ProtocolSpec, ByKind(PROTOCOLS, noun="protocol")] = FullSpec()
    baselines: Baselines = (PopularitySpec(),)
    ranker_catalogue: bool = False
    batch_size: Positive = 8192
    segments: tuple[str, ...] = ()
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
