"""Settings of the export stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from core.spec import Spec


class IndexSpec(Spec):
    """How items are searched.

    Attributes:
        exact_below: Catalogues with fewer items are searched exactly; larger ones through an inverted file.
        recall: Share of the exact `depth` best items that the inverted file must find, measured at export.
        depth: How many best items the recall is measured on.
        queries: How many query vectors the recall is measured on.
    """

    exact_below: int = Field(default=200_000, ge=1)
    recall: float = Field(default=0.98, gt=0, le=1)
    depth: int = Field(default=100, ge=1)
    queries: int = Field(default=500, ge=1)


class ExportSpec(Spec):
    """What the bundle holds.

    Attributes:
        formats: What the models are written as.
        golden_rows: Raw test rows kept with the scores that the trained model gave.
        candidates: How many items the ranker sees of what candidate generation finds.
        index: How items are searched.
        rank_by: Of a ranker of several targets, what ranks: target -> power of its probability in a product,
            `{click: 1, purchase: 0.5}`. Empty: the probability of the target that decides (`train.ranker.target`).

    Example:
        >>> ExportSpec(golden_rows=100).candidates
        200
    """

    formats: tuple[Literal["onnx"], ...] = ("onnx",)
    golden_rows: int = Field(default=1000, ge=1)
    candidates: int = Field(default=200, ge=1)
    index: IndexSpec = IndexSpec()
    rank_by: dict[str, float] = Field(default_factory=dict)

    @field_validator("rank_by")
    @classmethod
    def _something_ranks(cls, value: dict[str, float]) -> dict[str, float]:
        if value and not any(value.values()):
            raise ValueError("every power is 0, so nothing would rank")
        return value
