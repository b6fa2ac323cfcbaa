"""The target rules: which rows count as positive, for one target or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import polars as pl
from pydantic import StringConstraints, model_validator

from core.dataset import GOAL, ROW, TARGET, target_column
from core.errors import UserError
from core.spec import Spec


class TargetSpec(Spec):
    """What is to be predicted: 1 where the rule holds, 0 elsewhere.

    Attributes:
        column: The column that tells; it can't be a feature too.
        at_least: Positive where the value is at least this (ratings).
        equals: Positive where the value is this (`">50K"`). With neither rule the column itself holds 0 and 1.
        every_row: Every row is positive: the data hold nothing but what happened (purchases, plays). Candidate
            generators learn from such rows; a ranker needs `train.ranker.negatives`.

    Example:
        >>> TargetSpec(column="rating", at_least=4).at_least
        4.0
    """

    column: str | None = None
    at_least: float | None = None
    equals: bool | int | float | str | None = None
    every_row: bool = False

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.at_least is not None and self.equals is not None:
            raise ValueError("give `at_least` or `equals`, not both")
        if self.every_row and (self.column, self.at_least, self.equals) != (None, None, None):
            raise ValueError("`every_row: true` stands alone: no column decides")
        if not self.every_row and self.column is None:
            raise ValueError("name the `column` that tells, or `every_row: true` where every row is positive")
        return self


TargetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]
"""Letters, digits and underscores: it becomes part of the names of columns, figures and outputs."""


@dataclass(frozen=True)
class Goal:
    """One target of a run.

    Attributes:
        name: Its name in `etl.targets`; GOAL where there is one target without a name.
        column: Its column on disk.
        rule: Which rows count as positive.

    Example:
        >>> [goal.column for goal in goals(None, {name: TargetSpec(column=name) for name in ("click", "purchase")})]
        ['__target__', '__target_purchase__']
    """

    name: str
    column: str
    rule: TargetSpec

    @property
    def main(self) -> bool:
        """Whether it is the first, which every row has."""
        return self.column == TARGET

    @property
    def where(self) -> str:
        """Its place, for messages."""
        column = self.rule.column or "every_row"
        return f"target {column}" if self.name in {GOAL, column} else f"target {self.name} ({column})"


def goals(one: TargetSpec | None, several: Mapping[str, TargetSpec]) -> tuple[Goal, ...]:
    """The targets of `etl.target` or `etl.targets`, the main one first."""
    if one is not None:
        return (Goal(GOAL, TARGET, one),)
    columns = [TARGET if place == 0 else target_column(name) for place, name in enumerate(several)]
    return tuple(Goal(name, column, rule) for column, (name, rule) in zip(columns, several.items(), strict=True))


def sources_of(goals: Sequence[Goal]) -> tuple[str, ...]:
    """The raw columns that tell the targets, each once."""
    return tuple(dict.fromkeys(goal.rule.column for goal in goals if goal.rule.column is not None))


def target(goal: Goal, types: Mapping[str, pl.DataType]) -> pl.Expr:
    """The column of a target: float32, 0 or 1, and null where its raw column is null.

    Args:
        goal: The target.
        types: Of the raw columns.

    Raises:
        UserError: The rule doesn't go with the type.

    Example:
        >>> ratings = pl.DataFrame({"rating": [3, 4]})
        >>> liked = Goal("liked", TARGET, TargetSpec(column="rating", at_least=4))
        >>> ratings.select(target(liked, ratings.schema)).to_series().to_list()
        [0.0, 1.0]
    """
    spec = goal.rule
    if spec.column is None:
        return pl.lit(1.0, pl.Float32).alias(goal.column)
    value, dtype = pl.col(spec.column), types[spec.column]
    if spec.equals is not None:
        _require_kind(goal, dtype, _kind(spec.equals))
        value = value == spec.equals
    elif spec.at_least is not None:
        _require_kind(goal, dtype, "numbers")
        value = value >= spec.at_least
    elif _holds(dtype) not in {"numbers", "booleans"}:
        raise UserError(f"the column holds {dtype}, not 0 and 1", where=goal.where, cure="add `equals: VALUE`")
    return value.cast(pl.Float32).alias(goal.column)


def _require_kind(goal: Goal, dtype: pl.DataType, kind: str) -> None:
    if _holds(dtype) != kind:
        raise UserError(
            f"the column holds {dtype}, which can't be compared with {_threshold(goal.rule)!r}",
            where=goal.where,
            cure="write the value as the data have it",
        )


def _threshold(spec: TargetSpec) -> bool | float | str | None:
    return spec.at_least if spec.equals is None else spec.equals


def _kind(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "booleans"
    return "strings" if isinstance(value, str) else "numbers"


def _holds(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "booleans"
    if dtype == pl.String:
        return "strings"
    return "numbers" if dtype.is_numeric() else "something else"


def require_labels(goal: Goal, frame: pl.LazyFrame) -> None:
    """Check that a target without a rule holds 0 and 1 and nothing else.

    Raises:
        UserError: A row holds another value; names the first one.
    """
    spec = goal.rule
    if spec.column is None or spec.equals is not None or spec.at_least is not None:
        return
    value = pl.col(spec.column).cast(pl.Float64)
    odd = frame.filter((value != 0) & (value != 1)).select(ROW, spec.column).head(1).collect(engine="streaming")
    if odd.height:
        row, found = odd.row(0)
        raise UserError(
            f"the label {found!r} in row {row} is neither 0 nor 1",
            where=goal.where,
            cure="add a rule: `at_least: NUMBER` or `equals: VALUE`",
        )


def require_both_classes(goal: Goal, positives: float, rows: int) -> None:
    """Check that the training rows hold both classes of a target, unless every row is positive by rule.

    Args:
        goal: The target.
        positives: Training rows that are positive.
        rows: Training rows of which it is known.

    Raises:
        UserError: All of them are positive, or none is.
    """
    if goal.rule.every_row or 0 < positives < rows:
        return
    which = "positive" if positives else "negative"
    every = "; where every row is positive, say `every_row: true`" if goal.main else ""
    raise UserError(
        f"all {rows} training rows are {which}" if rows else "no training row tells this target",
        where=goal.where,
        cure=f"mend the target's rule, or split otherwise{every}",
    )
