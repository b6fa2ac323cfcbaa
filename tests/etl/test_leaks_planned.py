"""What the settings alone tell of leaks, by operators that stand for those that read targets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import pytest

from core.dataset import TARGET
from core.errors import UserError
from core.schema import Column
from etl import ops
from etl.care.leaks_planned import plan_findings, require_known_outcomes, require_own_targets_unread
from etl.dataset.sources import Roles
from etl.dataset.splits import NoSplit, RandomSplit, SplitSpec, TimeSplit, UsersSplit
from etl.features import FeatureSpec
from etl.ops import DifferenceLag, Lag, LogOp, Operator
from etl.ops.unchanged import Unchanged
from etl.rows.make import RepeatsRule

AGAIN = RepeatsRule(key=("user",), within="14d", name="again")


class Rate(Unchanged[Any]):
    """Stands for an operator that reads the target."""

    kind: ClassVar[str] = "rate"
    reads: tuple[str, ...] = ()
    learns: tuple[str, ...] = ()

    @property
    def dependencies(self) -> tuple[str, ...]:
        return self.reads

    @property
    def fit_dependencies(self) -> tuple[str, ...]:
        return self.learns

    def outputs(self, columns: Sequence[Column], state: Any = None) -> tuple[Column, ...]:
        return tuple(columns)


class History(Rate):
    """Stands for one that looks at earlier rows."""

    windowed: ClassVar[bool] = True

    def own(self, columns: Collection[str]) -> frozenset[str]:
        return frozenset(columns)


class OutOfFold(Rate):
    """Stands for one that knows which rows it learned from."""

    numbered: ClassVar[bool] = True


def features(operator: Operator[Any]) -> list[FeatureSpec]:
    return [FeatureSpec.model_construct(columns=("shop",), ops=(operator,))]


@pytest.mark.parametrize("name", [TARGET, "sold"])
def test_an_operator_that_reads_the_target_of_its_row(name: str) -> None:
    with pytest.raises(UserError, match="feature shop: rate reads the target of the row itself"):
        require_own_targets_unread(features(Rate(reads=(name,))), ["sold"])
    require_own_targets_unread(features(History(reads=(name,))), ["sold"])
    require_own_targets_unread(features(LogOp()), ["sold"])


@pytest.mark.parametrize(
    ("operator", "leaks"),
    [
        (Lag("user"), False),
        (Lag("shop"), True),
        (ops.History("rate", target="shop"), True),
        (ops.Rolling("count", window="1d"), True),
        (DifferenceLag("user"), True),
        (LogOp(), True),
    ],
)
def test_the_target_as_a_column(operator: Operator[Any], leaks: bool) -> None:
    """The key of a history is the row's own, and so is what a difference is taken of."""
    with pytest.raises(UserError, match="shop is the target and a feature") if leaks else nullcontext():
        require_own_targets_unread(features(operator), ["shop"])


@pytest.mark.parametrize(
    ("operator", "leaks"),
    [
        (ops.History(["mean", "rate"], "sold"), False),
        (ops.Rolling("sum", "sold", window="1d"), False),
        (Lag("sold"), True),
        (DifferenceLag("sold"), True),
        (ops.History(time="sold"), True),
    ],
)
def test_the_target_beside_the_columns(operator: Operator[Any], leaks: bool) -> None:
    told = f"{operator.kind} reads the target of the row itself"
    with pytest.raises(UserError, match=told) if leaks else nullcontext():
        require_own_targets_unread(features(operator), ["sold"])


@pytest.mark.parametrize(
    ("operator", "told"),
    [
        (ops.History("rate", target="again", delay="14d"), None),
        (ops.History("rate", target="again", delay="13d"), "sees again of earlier rows before it is known"),
        (Lag("user", delay="14d"), None),
        (Lag("again", delay="14d"), "again is an outcome that is known 14d later"),
        (ops.History(time="again", delay="14d"), "again is an outcome that is known 14d later"),
    ],
)
def test_an_outcome_that_comes_late(operator: Operator[Any], told: str | None) -> None:
    with pytest.raises(UserError, match=told) if told else nullcontext():
        require_known_outcomes(features(operator), [AGAIN], "sold")


def test_an_outcome_as_a_column_is_late_for_the_first_operator_alone() -> None:
    late = (Lag("user", delay="14d"), LogOp())
    require_known_outcomes([FeatureSpec.model_construct(columns=("again",), ops=late)], [AGAIN], "sold")
    with pytest.raises(UserError, match="again is an outcome that is known 14d later"):
        require_known_outcomes([FeatureSpec.model_construct(columns=("again",), ops=(LogOp(),))], [AGAIN], "sold")


def test_an_outcome_that_is_the_target_is_read_by_that_name_too() -> None:
    """A history reads the target where nothing else is named."""
    early = features(ops.History("rate", delay="13d"))
    require_known_outcomes(early, [AGAIN], "sold")
    with pytest.raises(UserError, match="sees again of earlier rows before it is known"):
        require_known_outcomes(early, [AGAIN], "again")


@pytest.mark.parametrize(
    ("operator", "split", "kinds"),
    [
        (LogOp(), TimeSplit(), []),
        (LogOp(), NoSplit(), []),
        (LogOp(), RandomSplit(), ["split"]),
        (History(reads=("sold",)), TimeSplit(), []),
        (History(reads=(TARGET,)), RandomSplit(), ["split", "history"]),
        (History(), RandomSplit(), ["split"]),
        (History(reads=(TARGET,)), UsersSplit(), ["split", "history"]),
        (Rate(learns=("sold",)), TimeSplit(), ["target"]),
        (OutOfFold(learns=(TARGET,)), TimeSplit(), []),
    ],
)
def test_what_the_settings_tell(operator: Operator[Any], split: SplitSpec, kinds: list[str]) -> None:
    found = plan_findings(features(operator), split, Roles(time="t"), ["sold"])
    assert [one.kind for one in found] == kinds


def test_a_random_split_of_rows_without_a_time_is_fine() -> None:
    assert list(plan_findings(features(LogOp()), RandomSplit(), Roles(), ["sold"])) == []
