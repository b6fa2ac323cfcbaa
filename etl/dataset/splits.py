"""Which rows train, which choose and which judge."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from core.spec import Spec
from core.union import ByKind
from etl.ops.windows.clock import Duration, Unit

Share = Annotated[float, Field(ge=0, lt=1)]
ShareOrCount = Annotated[int, Field(ge=0, strict=True)] | Share


class SplitSpec(Spec):
    """Settings of a split; the class says which."""


class ShareSplit(SplitSpec):
    """A split by shares of the rows; what is left trains.

    Attributes:
        valid: Share of the rows that choose (early stopping).
        test: Share of the rows that judge.
    """

    valid: Share = 0.1
    test: Share = 0.1

    @model_validator(mode="after")
    def _something_left(self) -> Self:
        if self.valid + self.test >= 1:
            raise ValueError("`valid` and `test` together must leave something to train on")
        return self


class TimeSplit(ShareSplit):
    """The latest rows of all judge, the ones before choose: nothing is learned from the future.

    Rows of one moment stay on one side, the earlier one, so the shares are met as nearly as ties allow.

    Attributes:
        gap: Rows that lie at most this long before a cut are set aside: they stand in the histories of later rows, but
            neither train nor judge. For targets that are known only some time later: `14d`, or seconds.
        unit: What whole numbers of the time column count: s, ms, us, ns. Dates and times need none.
    """

    gap: Duration = 0
    unit: Unit | None = None


class UserTimeSplit(ShareSplit):
    """The last rows of each user judge, the ones before choose.

    Of a user with n rows the last floor(n test) judge and the floor(n (valid + test)) - floor(n test) before
    them choose: a user with few rows only trains. Rows of one moment are ordered as they lie in the source.
    A model may see what others did after a user's last rows (`TimeSplit` is the honest one).
    """


class UserRandomSplit(ShareSplit):
    """Some rows of each user by a hash of their number and the seed: the usual split of papers without times.

    Of a user with n rows floor(n test) judge and floor(n valid) choose, but at least one each where the share is
    above zero and a row is left to train on (the split by ratio of RecBole, grouped by user).
    """


class RandomSplit(ShareSplit):
    """Rows by a hash of their number and the seed, whatever the order or the partitioning."""


class LeaveLastOutSplit(SplitSpec):
    """The last row of each user judges and the one before chooses; users with fewer than three rows only train."""


class UsersSplit(SplitSpec):
    """Whole users are held out, and found again by the rows of theirs that are folded in: strong generalisation.

    Users are chosen by a hash of their number and the seed. Nobody learns from a row of theirs. Of one with n rows the
    last floor(n (1 - fold_in)) judge or choose; the others are folded in: what is known of the user. With fold_in 0.8
    a user with fewer than five rows has nothing to be found.

    Source: Marlin, 2004, Collaborative Filtering: A Machine Learning Perspective; Liang et al., 2018, section 4.1.

    Attributes:
        valid: Share of the users that choose, below 1, or how many of them.
        test: Share of the users that judge, or how many.
        fold_in: Share of the rows of such a user that is known.
        order: Of a user's rows: by a hash of their number (`random`), or `time`, where the latest are to be found.
    """

    valid: ShareOrCount = 0.1
    test: ShareOrCount = 0.1
    fold_in: Annotated[float, Field(gt=0, lt=1)] = 0.8
    order: Literal["random", "time"] = "random"


class ColumnSplit(SplitSpec):
    """Rows by the value of a column; every value that occurs must be named.

    Attributes:
        column: The column, of integers, strings or booleans.
        train: Its values that train.
        valid: Its values that choose.
        test: Its values that judge.
        valid_share: Share of the rows with a value that trains that choose instead, by a hash of their number and the
            seed: for published splits that have no validation rows.
        valid_by: Whether that is a share of all rows together (`row`), so that most come from busy users, or of each
            user's (`user`), one at least where two are left: as published splits draw their test rows.
    """

    column: str
    train: tuple[bool | int | str, ...] = Field(min_length=1)
    valid: tuple[bool | int | str, ...] = ()
    test: tuple[bool | int | str, ...] = ()
    valid_share: Share = 0
    valid_by: Literal["row", "user"] = "row"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.valid and self.valid_share:
            raise ValueError("name the values that choose, or give `valid_share`, not both")
        if self.valid_by == "user" and not self.valid_share:
            raise ValueError("`valid_by` says whose rows `valid_share` is a share of; give one, such as 0.1")
        named = [*self.train, *self.valid, *self.test]
        twice = sorted({str(value) for value in named if named.count(value) > 1})
        if twice:
            raise ValueError(f"the value {twice[0]} is named twice")
        return self


class NoSplit(SplitSpec):
    """Every row trains: for a last fit on everything, once the choices are made."""


SPLIT_SPECS: dict[str, type[SplitSpec]] = {
    "time": TimeSplit,
    "user_time": UserTimeSplit,
    "leave_last_out": LeaveLastOutSplit,
    "user_random": UserRandomSplit,
    "random": RandomSplit,
    "users": UsersSplit,
    "column": ColumnSplit,
    "none": NoSplit,
}


def _by_time(value: Any) -> Any:
    return {"by": "time", **value} if isinstance(value, dict) and "by" not in value else value


AnySplit = Annotated[SplitSpec, ByKind(SPLIT_SPECS, noun="split", key="by"), BeforeValidator(_by_time)]
"""A split as a field of settings: `{by: user_time, valid: 0.1}`, a bare name, or shares alone (by time)."""
