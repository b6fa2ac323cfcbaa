"""The target rule: which rows count as positive."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from core.spec import Spec


class TargetSpec(Spec):
    """What is to be predicted: 1 where the rule holds, 0 elsewhere.

    Attributes:
        column: The column that tells; it can't be a feature too.
        at_least: Positive where the value is at least this (ratings).
        equals: Positive where the value is this (`">50K"`). With neither rule the column itself holds 0 and 1.

    Example:
        >>> TargetSpec(column="rating", at_least=4).at_least
        4.0
    """

    column: str
    at_least: float | None = None
    equals: bool | int | float | str | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.at_least is not None and self.equals is not None:
            raise ValueError("give `at_least` or `equals`, not both")
        return self
