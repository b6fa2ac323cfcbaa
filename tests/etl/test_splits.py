"""Splits: laws that hold for every log, and answers worked out by hand."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from math import floor

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from core.dataset import FOLD_IN, ROW, SPLIT, TIME
from core.errors import UserError
from etl.dataset.sources import Roles
from etl.dataset.splits import (
    AnySplit,
    ColumnSplit,
    LeaveLastOutSplit,
    NoSplit,
    RandomSplit,
    SplitSpec,
    TimeSplit,
    UserRandomSplit,
    UsersSplit,
    UserTimeSplit,
)
from etl.dataset.splitting import Rows, expects, learn
from etl.values.mix import below, mix64

EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 12)), min_size=1, max_size=60)
SHARES = st.tuples(st.sampled_from([0, 0.05, 0.1, 0.25, 0.3]), st.sampled_from([0, 0.1, 0.2, 0.3, 0.5]))


def sides(spec: SplitSpec, events: list[tuple[int, int]], *, seed: int = 1, ordered: bool = True) -> list[int]:
    """The side of each (user, time), in order."""
    users, times = zip(*events, strict=True)
    frame = pl.LazyFrame({"user": users, TIME: times}).with_row_index(ROW)
    rows = Rows(frame, Roles(user="user", time="when"), seed, ordered)
    return learn(spec, rows)(frame).sort(ROW).collect()[SPLIT].to_list()


@given(EVENTS, SHARES)
@settings(max_examples=60, deadline=None)
def test_time_never_lets_the_past_judge(events: list[tuple[int, int]], shares: tuple[float, float]) -> None:
    valid, test = shares
    found = sides(TimeSplit(valid=valid, test=test), events)
    times = defaultdict(set)
    for (_, time), side in zip(events, found, strict=True):
        times[time].add(side)
    assert all(len(own) == 1 for own in times.values()), "rows of one moment stay together"
    by_time = [own.pop() for _, own in sorted(times.items())]
    assert by_time == sorted(by_time)
    counts = Counter(found)
    assert counts[2] <= len(events) * test + 1e-6
    assert counts[1] + counts[2] <= len(events) * (valid + test) + 1e-6


def test_time_meets_the_shares_without_ties() -> None:
    found = sides(TimeSplit(valid=0.2, test=0.1), [(0, 9 - n) for n in range(10)])
    assert found == [2, 1, 1, 0, 0, 0, 0, 0, 0, 0]


@given(EVENTS, SHARES)
@settings(max_examples=60, deadline=None)
def test_user_time_takes_the_last_share_of_each_user(
    events: list[tuple[int, int]], shares: tuple[float, float]
) -> None:
    valid, test = shares
    found = sides(UserTimeSplit(valid=valid, test=test), events)
    own = defaultdict(list)
    for row, (user, time) in enumerate(events):
        own[user].append((time, row, found[row]))
    for rows in own.values():
        count = len(rows)
        last = floor(count * test + 1e-9)
        before = floor(count * (valid + test) + 1e-9) - last
        assert [side for _, _, side in sorted(rows)] == [0] * (count - last - before) + [1] * before + [2] * last


@given(EVENTS)
@settings(max_examples=40, deadline=None)
def test_leave_last_out(events: list[tuple[int, int]]) -> None:
    found = sides(LeaveLastOutSplit(), events)
    own = defaultdict(list)
    for row, (user, time) in enumerate(events):
        own[user].append((time, row, found[row]))
    for rows in own.values():
        ends = [0] * len(rows) if len(rows) < 3 else [0] * (len(rows) - 2) + [1, 2]
        assert [side for _, _, side in sorted(rows)] == ends


@given(EVENTS)
@settings(max_examples=20, deadline=None)
def test_engines_that_restore_order_later_give_the_same(events: list[tuple[int, int]]) -> None:
    spec = UserTimeSplit(valid=0.2, test=0.2)
    assert sides(spec, events) == sides(spec, events, ordered=False)


def user_random_by_hand(count: int, valid: float, test: float) -> list[int]:
    """Rows of a user that train, choose and judge: whole shares, then one more for a side that would be empty."""
    sizes = [0, floor(count * valid + 1e-9), floor(count * test + 1e-9)]
    sizes[0] = count - sum(sizes)
    for side, share in ((2, test), (1, valid)):
        if sizes[0] > 1 and share and not sizes[side]:
            sizes[side], sizes[0] = 1, sizes[0] - 1
    return sizes


@given(EVENTS, SHARES, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_user_random(events: list[tuple[int, int]], shares: tuple[float, float], seed: int) -> None:
    spec = UserRandomSplit(valid=shares[0], test=shares[1])
    found = sides(spec, events, seed=seed)
    assert found == sides(spec, [(user, 0) for user, _ in events], seed=seed), "times don't matter"
    assert found == sides(spec, events, seed=seed, ordered=False)
    own: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for (user, _), side in zip(events, found, strict=True):
        own[user][side] += 1
    for counts in own.values():
        assert [counts[side] for side in range(3)] == user_random_by_hand(sum(counts.values()), *shares)


def test_user_random_needs_no_time_and_follows_the_seed() -> None:
    frame = pl.LazyFrame({"user": [n % 9 for n in range(900)]}).with_row_index(ROW)
    found = [
        learn(UserRandomSplit(), Rows(frame, Roles(user="user"), seed))(frame).collect()[SPLIT].to_list()
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2]
    assert Counter(found[0]) == {0: 720, 1: 90, 2: 90}


@given(EVENTS, st.sampled_from([0.5, 0.75, 0.8]), st.sampled_from(["random", "time"]), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_users_are_held_out_whole(events: list[tuple[int, int]], fold_in: float, order: str, seed: int) -> None:
    events = [*events, *((user, 0) for user in range(5))]
    spec = UsersSplit(valid=1, test=0.4, fold_in=fold_in, order=order)
    found = sides(spec, events, seed=seed)
    assert found == sides(spec, events, seed=seed, ordered=False)
    own: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for row, ((user, time), side) in enumerate(zip(events, found, strict=True)):
        own[user].append((time, row, side))
    held: Counter[int] = Counter()
    for rows in own.values():
        judged = floor(len(rows) * (1 - fold_in) + 1e-9)
        told = [side for *_, side in sorted(rows)]
        if set(told) != {0}:
            assert FOLD_IN in told, "something is known of everybody"
            assert len(told) - told.count(FOLD_IN) == judged
            assert len({*told} - {FOLD_IN}) <= 1
            assert order == "random" or told[: len(told) - judged] == [FOLD_IN] * (len(told) - judged)
            held.update({*told} - {FOLD_IN} or {FOLD_IN})
    assert held[1] + held[2] + held[FOLD_IN] == 3
    assert held[1] <= 1
    assert held[2] <= 2


def test_who_is_held_out_follows_the_seed() -> None:
    many = [(n // 10, n) for n in range(3000)]
    found = [sides(UsersSplit(valid=30, test=0.2), many, seed=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert Counter(found[0]) == {0: 2100, 1: 60, 2: 120, FOLD_IN: 720}


def test_somebody_is_left_to_learn_from() -> None:
    with pytest.raises(UserError, match="3 users are to judge and 2 to choose, and there are 5"):
        sides(UsersSplit(valid=2, test=3), [(user, 0) for user in range(5)])
    with pytest.raises(UserError, match="needs the time role"):
        learn(UsersSplit(order="time"), Rows(pl.LazyFrame({"user": [1]}).with_row_index(ROW), Roles(user="user"), 1))


def test_random_depends_on_row_and_seed_alone() -> None:
    spec = RandomSplit(valid=0.1, test=0.2)
    many = [(0, n) for n in range(20_000)]
    found = sides(spec, many)
    assert found == sides(spec, many)
    assert found != sides(spec, many, seed=2)
    assert found[:500] == sides(spec, many[:500]), "a row stays where it is when rows are added after it"
    counts = Counter(found)
    # Three standard deviations of a binomial count.
    for side, share in enumerate((0.7, 0.1, 0.2)):
        assert abs(counts[side] - share * len(many)) < 3 * (len(many) * share * (1 - share)) ** 0.5


@pytest.mark.parametrize(("valid", "test", "empty"), [(0, 0.2, 1), (0.2, 0, 2)])
def test_a_share_of_zero_stays_empty(valid: float, test: float, empty: int) -> None:
    many = [(n % 7, n) for n in range(5000)]
    for kind in (RandomSplit, TimeSplit, UserTimeSplit):
        counts = Counter(sides(kind(valid=valid, test=test), many))
        assert counts[empty] == 0
        assert len(counts) == 2


def test_mix64_is_splitmix64() -> None:
    """The first outputs of SplitMix64 seeded with 0, as published."""
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    frame = pl.DataFrame({"x": [0, 1, 2]}, schema={"x": pl.UInt32})
    assert frame.select(mix64("x", 0)).to_series().to_list() == published


def test_seeds_give_independent_hashes() -> None:
    frame = pl.DataFrame({"x": range(20_000)}, schema={"x": pl.UInt32})
    both = frame.select(((mix64("x", 1) < below(0.5)) & (mix64("x", 2) < below(0.5))).mean()).item()
    assert both == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("values", [["a", "b", "c"], [1, 2, 3]])
def test_column(values: list[int | str]) -> None:
    frame = pl.LazyFrame({"fold": [*values, values[0]]}).with_row_index(ROW)
    one, two, three = values
    spec = ColumnSplit(column="fold", train=(two,), valid=(three,), test=(one,))
    assert learn(spec, Rows(frame, Roles(), 1))(frame).collect()[SPLIT].to_list() == [2, 0, 1, 2]


def test_column_of_booleans() -> None:
    frame = pl.LazyFrame({"late": [True, False]}).with_row_index(ROW)
    spec = ColumnSplit(column="late", train=(False,), test=(True,))
    assert learn(spec, Rows(frame, Roles(), 1))(frame).collect()[SPLIT].to_list() == [2, 0]


def test_a_share_of_a_columns_training_rows_chooses() -> None:
    frame = pl.LazyFrame({"part": ["test" if n % 5 == 0 else "train" for n in range(5000)]}).with_row_index(ROW)
    spec = ColumnSplit(column="part", train=("train",), test=("test",), valid_share=0.1)
    assert expects(spec) == ("train", "valid", "test")
    found = learn(spec, Rows(frame, Roles(), 1))(frame).collect()
    assert set(found.filter(pl.col("part") == "test")[SPLIT]) == {2}
    counts = Counter(found.filter(pl.col("part") == "train")[SPLIT])
    assert set(counts) == {0, 1}
    assert counts[1] == pytest.approx(400, abs=60)


def test_a_share_of_each_users_training_rows_chooses() -> None:
    sizes = {1: 1, 2: 2, 3: 19, 4: 40, 5: 5}
    rows = [(user, n) for user, size in sizes.items() for n in range(size)]
    random.Random(1).shuffle(rows)
    parts = ["train" if n < size_ else "test" for user, n in rows for size_ in [max(1, sizes[user] * 4 // 5)]]
    frame = pl.LazyFrame({"who": [user for user, _ in rows], "part": parts}).with_row_index(ROW)
    spec = ColumnSplit(column="part", train=("train",), test=("test",), valid_share=0.1, valid_by="user")
    found = learn(spec, Rows(frame, Roles(user="who"), 1))(frame).collect()
    assert set(found.filter(pl.col("part") == "test")[SPLIT]) == {2}
    chosen = Counter(found.filter(pl.col(SPLIT) == 1)["who"].to_list())
    assert chosen == {3: 1, 4: 3, 5: 1}  # of 1, 1, 15, 32 and 4 training rows
    assert found.columns == [ROW, "who", "part", SPLIT]
    again = learn(spec, Rows(frame, Roles(user="who"), 2))(frame).collect()
    assert again[SPLIT].to_list() != found[SPLIT].to_list()


def test_a_share_of_each_user_needs_a_user() -> None:
    frame = pl.LazyFrame({"part": ["a"]}).with_row_index(ROW)
    spec = ColumnSplit(column="part", train=("a",), valid_share=0.1, valid_by="user")
    with pytest.raises(UserError, match=r"needs the user role"):
        learn(spec, Rows(frame, Roles(), 1))


def test_none_trains_on_everything() -> None:
    assert sides(NoSplit(), [(0, 1), (1, 2)]) == [0, 0]


@pytest.mark.parametrize("spec", [UserTimeSplit(), LeaveLastOutSplit(), UserRandomSplit(), UsersSplit()])
def test_splits_by_user_need_a_user(spec: SplitSpec) -> None:
    frame = pl.LazyFrame({TIME: [1]}).with_row_index(ROW)
    with pytest.raises(UserError, match=r"needs the user role"):
        learn(spec, Rows(frame, Roles(time="when"), 1))


def test_what_must_not_be_empty() -> None:
    assert expects(TimeSplit()) == ("train", "valid", "test")
    assert expects(RandomSplit(valid=0)) == ("train", "test")
    assert expects(UsersSplit(valid=0)) == ("train", "test")
    assert expects(LeaveLastOutSplit()) == ("train", "valid", "test")
    assert expects(ColumnSplit(column="a", train=(1,), valid=(2,))) == ("train", "valid")
    assert expects(NoSplit()) == ("train",)


def test_time_is_the_split_when_none_is_named() -> None:
    read = TypeAdapter(AnySplit).validate_python
    assert read({"valid": 0.3}) == TimeSplit(valid=0.3)
    assert read("none") == NoSplit()


@pytest.mark.parametrize(
    ("settings_", "told"),
    [
        ({"by": "tme"}, "did you mean time"),
        ({"by": "random", "valid": 0.6, "test": 0.4}, "leave something to train on"),
        ({"by": "column", "column": "a", "train": [1], "test": [1]}, "named twice"),
        ({"by": "time", "share": 1}, "unknown key"),
        ({"by": "users", "test": 1.5}, "less than 1"),
        ({"by": "users", "fold_in": 1}, "less than 1"),
        ({"by": "column", "column": "a", "train": [1], "valid": [2], "valid_share": 0.1}, "not both"),
        ({"by": "column", "column": "a", "train": [1], "valid_by": "user"}, "whose rows"),
    ],
)
def test_settings_that_make_no_sense(settings_: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TypeAdapter(AnySplit).validate_python(settings_)
