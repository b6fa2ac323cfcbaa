"""Splits at work: a few cuts are learned from the ids and times, then every row finds its side on its own.

The cuts are small (two numbers, or two for each user), so the split is part of the lazy plan and no list of rows
is kept. Learning them takes user, time and row number of all rows into memory, nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from core.dataset import ASIDE, FOLD_IN, ROW, SPLIT, TIME
from core.errors import UserError
from etl.dataset.sources import Roles
from etl.dataset.splits import (
    ColumnSplit,
    LeaveLastOutSplit,
    NoSplit,
    RandomSplit,
    ShareSplit,
    SplitSpec,
    TimeSplit,
    UserRandomSplit,
    UsersSplit,
    UserTimeSplit,
)
from etl.dataset.times import length_of
from etl.values.mix import below, mix64

Assign = Callable[[pl.LazyFrame], pl.LazyFrame]
"""Adds the column SPLIT to a frame that has ROW, TIME and the role columns."""
_ROUNDING = 1e-9
_PLACE, _COUNT, _KEY, _SIDE = "__place__", "__count__", "__key__", "__side__"


@dataclass(frozen=True)
class Rows:
    """What a split is learned from.

    Attributes:
        frame: All rows, with ROW, TIME and the raw columns.
        roles: Which columns tell who and when.
        seed: Of the run.
        ordered: Joins must keep the order of rows.
    """

    frame: pl.LazyFrame
    roles: Roles
    seed: int
    ordered: bool = True


def learn(spec: SplitSpec, rows: Rows) -> Assign:
    """Learn the cuts of a split.

    Raises:
        UserError: The split needs a role or a column that isn't there, or values that aren't named.
    """
    return _LEARNERS[type(spec)](spec, rows)


def _none(_: NoSplit, __: Rows) -> Assign:
    return lambda frame: frame.with_columns(pl.lit(0, pl.Int8).alias(SPLIT))


def _random(spec: RandomSplit, rows: Rows) -> Assign:
    hashed = mix64(ROW, rows.seed)
    train = 1 - spec.valid - spec.test
    # 1 - 0.1 - 0.1 is a little more than 0.8; a share of 0 must stay empty all the same.
    first = pl.lit(value=False) if spec.valid + spec.test == 0 else hashed >= below(train)
    second = pl.lit(value=False) if spec.test == 0 else hashed >= below(1 - spec.test)
    return lambda frame: frame.with_columns(_sides(first, second))


def _time(spec: TimeSplit, rows: Rows) -> Assign:
    _need("time", rows.roles.time)
    counted = rows.frame.group_by(TIME).len().sort(TIME).collect(engine="streaming")
    before = counted.select(TIME, before=pl.col("len").cum_sum() - pl.col("len"))
    total = int(counted["len"].sum())

    def since(share: float) -> int | None:
        """The time from which on the last share of the rows lies."""
        wanted = total - math.floor(total * share + _ROUNDING)
        late = before.filter(pl.col("before") >= wanted)
        return None if share == 0 or late.is_empty() else int(late.item(0, TIME))

    cuts = [since(share) for share in (spec.valid + spec.test, spec.test)]
    sides = _sides(*(pl.lit(value=False) if cut is None else pl.col(TIME) >= cut for cut in cuts))
    if not spec.gap:
        return lambda frame: frame.with_columns(sides)
    gap = _gap(spec, rows)
    near = [(pl.col(TIME) < cut) & (pl.col(TIME) >= cut - gap) for cut in cuts if cut is not None]
    aside = pl.when(pl.any_horizontal(near)).then(pl.lit(ASIDE, pl.Int8)) if near else None
    return lambda frame: frame.with_columns(sides if aside is None else aside.otherwise(sides).alias(SPLIT))


def _gap(spec: TimeSplit, rows: Rows) -> int:
    """In the unit of TIME."""
    name = _need("time", rows.roles.time)
    return length_of(spec.gap, name, rows.frame.collect_schema()[name], spec.unit)


def _user_time(spec: UserTimeSplit, rows: Rows) -> Assign:
    def last(share: float) -> pl.Expr:
        return (pl.col(_COUNT) * share + _ROUNDING).floor().cast(pl.Int64)

    _need("time", rows.roles.time)
    return _by_user(rows, pl.col(TIME), last(spec.valid + spec.test), last(spec.test))


def _user_random(spec: UserRandomSplit, rows: Rows) -> Assign:
    def whole(share: float) -> pl.Expr:
        return (pl.col(_COUNT) * share + _ROUNDING).floor().cast(pl.Int64)

    def filled(share: float, left: pl.Expr) -> pl.Expr:
        """At least one where there is a share, and more than one row is left."""
        few = (whole(share) == 0) & (left > 1) if share else pl.lit(value=False)
        return whole(share) + few.cast(pl.Int64)

    test = filled(spec.test, pl.col(_COUNT) - whole(spec.valid) - whole(spec.test))
    valid = filled(spec.valid, pl.col(_COUNT) - whole(spec.valid) - test)
    return _by_user(rows, mix64(ROW, rows.seed), valid + test, test)


def _leave_last_out(_: LeaveLastOutSplit, rows: Rows) -> Assign:
    def last(count: int) -> pl.Expr:
        return pl.when(pl.col(_COUNT) >= 3).then(count).otherwise(0)

    _need("time", rows.roles.time)
    return _by_user(rows, pl.col(TIME), last(2), last(1))


def _by_user(rows: Rows, key: pl.Expr, both: pl.Expr, test: pl.Expr) -> Assign:
    """Cut each user's rows, in order of key and row: the last `both` of n leave training, the last `test` judge."""
    user = _need("user", rows.roles.user)
    events = rows.frame.select(user, key.alias(_KEY), ROW).collect(engine="streaming")
    cuts = _user_cuts(events, user, {"valid": both, "test": test})

    def assign(frame: pl.LazyFrame) -> pl.LazyFrame:
        joined = frame.join(cuts.lazy(), on=user, how="left", maintain_order="left" if rows.ordered else "none")
        sides = _sides(_not_before("valid", key), _not_before("test", key))
        return joined.with_columns(sides).drop(cuts.columns[1:])

    return assign


def _user_cuts(events: pl.DataFrame, user: str, last: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """One row a user, rising: key and ROW at which each of its `last` so many rows start, null where there are none."""
    ordered = events.sort(user, _KEY, ROW)
    place = pl.int_range(pl.len()).over(user)
    counted = ordered.with_columns(place.alias(_PLACE), pl.len().over(user).cast(pl.Int64).alias(_COUNT))
    cuts = ordered.select(user).unique(maintain_order=True)
    for side, count in last.items():
        starts = counted.filter(pl.col(_PLACE) == pl.col(_COUNT) - count)
        names = {_KEY: f"{_KEY}{side}", ROW: f"{ROW}{side}"}
        found = starts.select(user, **{new: old for old, new in names.items()})
        cuts = cuts.join(found, on=user, how="left", maintain_order="left")
    return cuts


def _users(spec: UsersSplit, rows: Rows) -> Assign:
    user = _need("user", rows.roles.user)
    if spec.order == "time":
        _need("time", rows.roles.time)
    key = pl.col(TIME) if spec.order == "time" else mix64(ROW, rows.seed)
    events = rows.frame.select(user, key.alias(_KEY), ROW).collect(engine="streaming")
    judged = (pl.col(_COUNT) * (1 - spec.fold_in) + _ROUNDING).floor().cast(pl.Int64)
    cuts = _held_out(_user_cuts(events, user, {"last": judged}), spec, rows.seed)

    def assign(frame: pl.LazyFrame) -> pl.LazyFrame:
        joined = frame.join(cuts.lazy(), on=user, how="left", maintain_order="left" if rows.ordered else "none")
        known = (pl.col(_SIDE) > 0) & ~_not_before("last", key)
        side = pl.when(known).then(pl.lit(FOLD_IN, pl.Int8)).otherwise(pl.col(_SIDE))
        return joined.with_columns(side.alias(SPLIT)).drop(cuts.columns[1:])

    return assign


def _held_out(users: pl.DataFrame, spec: UsersSplit, seed: int) -> pl.DataFrame:
    """Say of each user, one a row, on which side it is.

    Raises:
        UserError: No user is left to learn from.
    """
    test, valid = (
        share if isinstance(share, int) else math.floor(users.height * share + _ROUNDING)
        for share in (spec.test, spec.valid)
    )
    if test + valid >= users.height:
        told = f"{test} users are to judge and {valid} to choose, and there are {users.height}"
        raise UserError(told, where="etl.split", cure="hold fewer users out, so that some are left to learn from")
    numbered = users.with_row_index("__user_row__")
    place = numbered.select(mix64("__user_row__", seed).rank("ordinal") - 1).to_series()
    side = pl.when(place < test).then(2).when(place < test + valid).then(1).otherwise(0)
    return users.with_columns(side.cast(pl.Int8).alias(_SIDE))


def _not_before(side: str, key: pl.Expr) -> pl.Expr:
    start, row = pl.col(f"{_KEY}{side}"), pl.col(f"{ROW}{side}")
    late = (key > start) | ((key == start) & (pl.col(ROW) >= row))
    return late.fill_null(value=False)


def _column(spec: ColumnSplit, rows: Rows) -> Assign:
    named = {value: side for side, values in enumerate((spec.train, spec.valid, spec.test)) for value in values}
    dtype = rows.frame.select(spec.column).collect_schema()[spec.column]
    found = rows.frame.select(pl.col(spec.column).unique()).collect(engine="streaming").to_series().sort()
    key = {bool: pl.Boolean, int: pl.Int64, str: pl.String}[type(next(iter(named)))]
    if any(type(value) is not type(next(iter(named))) for value in named) or not _comparable(dtype, key()):
        raise UserError(
            f"the column holds values of type {dtype}, the split names {', '.join(map(repr, named))}",
            where=f"column {spec.column}",
            cure="name the values as they are written in the data",
        )
    unnamed = [value for value in found.to_list() if value not in named]
    if unnamed:
        raise UserError(
            f"the split doesn't say where rows with {unnamed[0]!r} go",
            where=f"column {spec.column}",
            cure="name the value under train, valid or test",
        )
    value = pl.col(spec.column).cast(key)
    held_out, judges = (value.is_in([one for one, side in named.items() if side >= least]) for least in (1, 2))
    if not spec.valid_share:
        return lambda frame: frame.with_columns(_sides(held_out, judges))
    if spec.valid_by == "user":
        return _share_of_each_user(spec.valid_share, rows, held_out, judges)
    held_out = held_out | (mix64(ROW, rows.seed) >= below(1 - spec.valid_share))
    return lambda frame: frame.with_columns(_sides(held_out, judges))


def _share_of_each_user(share: float, rows: Rows, held_out: pl.Expr, judges: pl.Expr) -> Assign:
    """Besides the rows held out, hold out a share of each user's others, one at least where another is left."""
    user = _need("user", rows.roles.user)
    key = mix64(ROW, rows.seed)
    events = rows.frame.filter(~held_out).select(user, key.alias(_KEY), ROW).collect(engine="streaming")
    whole = (pl.col(_COUNT) * share + _ROUNDING).floor().cast(pl.Int64)
    few = (whole == 0) & (pl.col(_COUNT) > 1)
    cuts = _user_cuts(events, user, {"valid": whole + few.cast(pl.Int64)})

    def assign(frame: pl.LazyFrame) -> pl.LazyFrame:
        joined = frame.join(cuts.lazy(), on=user, how="left", maintain_order="left" if rows.ordered else "none")
        return joined.with_columns(_sides(held_out | _not_before("valid", key), judges)).drop(cuts.columns[1:])

    return assign


def _comparable(dtype: pl.DataType, key: pl.DataType) -> bool:
    return dtype == key or (dtype.is_integer() and key.is_integer())


def _sides(leaves_training: pl.Expr, judges: pl.Expr) -> pl.Expr:
    return (leaves_training.cast(pl.Int8) + judges.cast(pl.Int8)).alias(SPLIT)


def _need(role: str, column: str | None) -> str:
    if column is None:
        raise UserError(
            f"this split needs the {role} role",
            where="etl.split",
            cure=f"name its column in `data.roles.{role}`, or split by random",
        )
    return column


def expects(spec: SplitSpec) -> tuple[str, ...]:
    """The splits that must not be empty.

    Example:
        >>> expects(RandomSplit(valid=0, test=0.2))
        ('train', 'test')
    """
    if isinstance(spec, ShareSplit | UsersSplit):
        return ("train", *(["valid"] if spec.valid else []), *(["test"] if spec.test else []))
    if isinstance(spec, ColumnSplit):
        return ("train", *(["valid"] if spec.valid or spec.valid_share else []), *(["test"] if spec.test else []))
    return ("train",) if isinstance(spec, NoSplit) else ("train", "valid", "test")


_LEARNERS: dict[type[SplitSpec], Callable[[Any, Rows], Assign]] = {
    NoSplit: _none,
    RandomSplit: _random,
    TimeSplit: _time,
    UserTimeSplit: _user_time,
    UserRandomSplit: _user_random,
    LeaveLastOutSplit: _leave_last_out,
    UsersSplit: _users,
    ColumnSplit: _column,
}
