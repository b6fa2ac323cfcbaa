"""Settings of evaluation."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.spec import Spec

Positive = Annotated[int, Field(gt=0)]


class EvaluateSpec(Spec):
    """How to evaluate.

    Attributes:
        k: List lengths of Recall, NDCG, HR, MRR and MAP.
        mask_seen: Leave what a user has met in an earlier split out of the user's list.
        batch_size: Rows scored by the ranker at a time.
        segments: Raw columns of users or items; figures of each of their values are told too.
        confidence: Of the intervals.
    """

    k: Annotated[tuple[Positive, ...], Field(min_length=1)] = (10, 50)
    mask_seen: bool = True
    batch_size: Positive = 8192
    segments: tuple[str, ...] = ()
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
