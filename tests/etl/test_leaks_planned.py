"""What the settings alone tell of leaks, by operators that stand for those that read targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from core.dataset import TARGET
from core.errors import UserError
from core.schema import Column
from etl.features import FeatureSpec
from etl.leaks_planned import plan_findings, require_own_targets_unread
from etl.ops import LogOp, Operator
from etl.ops.unchanged import Unchanged
from etl.sources import Roles
from etl.splits import NoSplit, RandomSplit, SplitSpec, TimeSplit


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


class OutOfFold(Rate):
    """Stands for one that knows which rows it learned from."""

    numbered: ClassVar[bool] = True


def features(operator: Operator[Any]) -> list[FeatureSpec]:
    return [FeatureSpec.model_construct(columns=("shop",), ops=(operator,))]


@pytest.mark.parametrize("name", [TARGET, "sold"])
def test_an_operator_that_reads_the_target_of_its_row(name: str) -> None:
    with pytest.raises(UserError, match="feature shop: rate reads the target of the row itself"):
        require_own_targets_unread(features(Rate(reads=(name,))), "sold")
    require_own_targets_unread(features(History(reads=(name,))), "sold")
    require_own_targets_unread(features(LogOp()), "sold")


@pytest.mark.parametrize(
    ("operator", "split", "kinds"),
    [
        (LogOp(), TimeSplit(), []),
        (LogOp(), NoSplit(), []),
        (LogOp(), RandomSplit(), ["split"]),
        (History(reads=("sold",)), TimeSplit(), []),
        (History(reads=(TARGET,)), RandomSplit(), ["split", "history"]),
        (History(), RandomSplit(), ["split"]),
        (Rate(learns=("sold",)), TimeSplit(), ["target"]),
        (OutOfFold(learns=(TARGET,)), TimeSplit(), []),
    ],
)
def test_what_the_settings_tell(operator: Operator[Any], split: SplitSpec, kinds: list[str]) -> None:
    found = plan_findings(features(operator), split, Roles(time="t"), "sold")
    assert [one.kind for one in found] == kinds


def test_a_random_split_of_rows_without_a_time_is_fine() -> None:
    assert list(plan_findings(features(LogOp()), RandomSplit(), Roles(), "sold")) == []
