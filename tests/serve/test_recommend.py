"""The recommender against brute force over models whose weights are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.errors import UserError
from serve.bundle import Bundle
from serve.golden import run_module
from serve.recommend import MissingValue, Recommender
from tests.serve import planted


@pytest.fixture(scope="module")
def recommender(bundle_path: Path) -> Recommender:
    return Recommender(Bundle.open(bundle_path))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return planted.parts(tmp_path_factory.mktemp("parts"))


def brute_force(made: Any, user: dict[str, Any], seen: set[int], *, candidates: int, k: int) -> list[str]:
    """Torch over every item: the best candidates by inner product, then the best k by the ranker."""
    items = planted.items()
    rows = items.with_columns(
        pl.lit(None, pl.Int8).alias("hour"), *[pl.lit(v, t).alias(n) for n, (v, t) in user.items()]
    )
    outputs = made.fitted.transform(rows.drop("title")).collect()
    query = run_module(made.retriever.query_module, outputs, made.retriever.user_features)[0]
    vectors = run_module(made.retriever.item_module, outputs, made.retriever.item_features)
    near = [row for row in np.argsort(-(vectors @ query)) if row not in seen][:candidates]
    scores = run_module(made.ranker.module, outputs, made.ranker.features)
    return [items["item_id"][int(row)] for row in sorted(near, key=lambda row: -scores[row])[:k]]


def known_user(number: int) -> dict[str, Any]:
    row = planted.users().row(number, named=True)
    return {name: (row[name], planted.users().schema[name]) for name in row}


def seen_by(number: int) -> set[int]:
    frame = planted.seen().filter(pl.col("__user__") == number)
    return set(frame["__item__"].to_list())


@pytest.mark.parametrize("number", range(planted.USERS))
def test_every_user_gets_what_brute_force_finds(recommender: Recommender, made: Any, number: int) -> None:
    found = recommender.recommend(100 + number, k=5)
    wanted = brute_force(made, known_user(number), seen_by(number), candidates=10, k=5)
    assert [item.id for item in found.items] == wanted
    assert found.known


@pytest.mark.parametrize("number", range(planted.USERS))
@pytest.mark.parametrize("k", [1, 10, 1000])
def test_nothing_seen_is_recommended(recommender: Recommender, number: int, k: int) -> None:
    found = recommender.recommend(100 + number, k=k)
    rows = {int(str(item.id)[1:]) for item in found.items}
    assert rows.isdisjoint(seen_by(number))
    assert len(rows) == min(k, max(k, 10), planted.ITEMS - len(seen_by(number)))


def test_the_stages_add_up(recommender: Recommender) -> None:
    candidates, filtering, ranking = recommender.recommend(105, k=3).stages
    assert (candidates.given, candidates.kept) == (planted.ITEMS, 10 + len(seen_by(5)))
    assert candidates.dropped == {"farther from the user": planted.ITEMS - candidates.kept}
    assert filtering.given == candidates.kept
    assert filtering.kept == 10
    assert sum(filtering.dropped.values()) == filtering.given - filtering.kept
    assert (ranking.given, ranking.kept, ranking.dropped) == (10, 3, {"without a score": 0, "ranked lower": 7})
    assert all(stage.seconds > 0 for stage in (candidates, filtering, ranking))


def test_a_user_who_has_everything_gets_nothing(recommender: Recommender) -> None:
    found = recommender.recommend(101)
    assert found.items == ()
    assert found.stages[1].dropped["already seen"] == planted.ITEMS


def test_titles_scores_and_columns(recommender: Recommender) -> None:
    items = recommender.recommend(103, k=4).items
    for item in items:
        assert item.title == f"Item number {int(str(item.id)[1:])}"
        assert item.columns["price"] == pytest.approx(1.5 * int(str(item.id)[1:]))
        assert "__vector__" not in item.columns
    assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)


def test_a_cold_user_goes_through_the_unknown_id(recommender: Recommender, made: Any) -> None:
    found = recommender.recommend(999, k=5)
    user = {"user_id": (999, pl.Int64), "age": (None, pl.Float64), "gender": (None, pl.String)}
    assert [item.id for item in found.items] == brute_force(made, user, set(), candidates=10, k=5)
    assert not found.known


def test_nobody_in_particular_is_all_null(recommender: Recommender, made: Any) -> None:
    user = {"user_id": (None, pl.Int64), "age": (None, pl.Float64), "gender": (None, pl.String)}
    found = recommender.recommend(k=5)
    assert [item.id for item in found.items] == brute_force(made, user, set(), candidates=10, k=5)
    assert found.user is None


def test_a_user_given_by_features(recommender: Recommender, made: Any) -> None:
    user = {"user_id": (None, pl.Int64), "age": (30.0, pl.Float64), "gender": ("F", pl.String)}
    found = recommender.recommend(features={"age": 30, "gender": "F"}, k=5)
    assert [item.id for item in found.items] == brute_force(made, user, set(), candidates=10, k=5)


def test_features_replace_what_is_known_and_the_seen_stay_out(recommender: Recommender, made: Any) -> None:
    user = {**known_user(5), "age": (77.0, pl.Float64)}
    found = recommender.recommend(105, {"age": 77}, k=5)
    assert [item.id for item in found.items] == brute_force(made, user, seen_by(5), candidates=10, k=5)


def test_context_changes_scores(recommender: Recommender) -> None:
    before = {item.id: item.score for item in recommender.recommend(105, k=10).items}
    after = {item.id: item.score for item in recommender.recommend(105, {"hour": 3}, k=10).items}
    assert before.keys() == after.keys()
    assert before != after


def test_ids_come_as_numbers_or_as_text(recommender: Recommender) -> None:
    assert recommender.recommend("105", k=3).items == recommender.recommend(105, k=3).items
    for beyond in (-1, 0, 2**62, 112):
        assert not recommender.recommend(beyond, k=1).known


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": {"agee": 3}}, "agee: there is no such feature; did you mean age"),
        ({"features": {"price": 3}}, "price: there is no such feature"),
        ({"features": {"user_id": 105}}, "user_id: there is no such feature"),
        ({"features": {"age": "old"}}, "age: the value must be a number, got 'old'"),
        ({"features": {"age": True}}, "age: the value must be a number, got True"),
        ({"features": {"gender": 1}}, "gender: the value must be a text, got 1"),
        ({"features": {"hour": 1.5}}, "hour: the value must be a whole number, got 1.5"),
        ({"features": {"hour": 2**63}}, "hour: the value does not fit 64 bits"),
        ({"user": "me"}, "user ids are whole numbers here, got 'me'"),
        ({"user": 1.5}, "a user id is a whole number or a text, got 1.5"),
        ({"user": 2**70}, "user_id: the value"),
        ({"k": 0}, "k must be a whole number between 1 and 1000, got 0"),
        ({"k": 1001}, "got 1001"),
        ({"k": "10"}, "got '10'"),
        ({"k": True}, "got True"),
    ],
)
def test_wrong_requests(recommender: Recommender, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recommender.recommend(**arguments)


def test_without_a_ranker_the_inner_product_decides(tmp_path: Path, made: Any) -> None:
    recommender = Recommender(Bundle.open(planted.bundle(tmp_path, planted.parts(tmp_path / "data", ranker=False))))
    found = recommender.recommend(104, k=5)
    outputs = made.fitted.transform(planted.users(), columns=("user_id", "gender", "age")).collect()
    query = run_module(made.retriever.query_module, outputs, made.retriever.user_features)[4]
    items = made.fitted.transform(planted.items(), columns=("item_id", "year", "price")).collect()
    scores = run_module(made.retriever.item_module, items, made.retriever.item_features) @ query
    wanted = [row for row in np.argsort(-scores) if row not in seen_by(4)][:5]
    assert [item.id for item in found.items] == [f"i{row:02}" for row in wanted]
    assert found.items[0].score == pytest.approx(float(scores[wanted[0]]), abs=1e-5)


def test_without_a_retriever_every_item_is_ranked(tmp_path: Path, made: Any) -> None:
    recommender = Recommender(Bundle.open(planted.bundle(tmp_path, planted.parts(tmp_path / "data", retriever=False))))
    found = recommender.recommend(104, k=5)
    wanted = brute_force(made, known_user(4), seen_by(4), candidates=planted.ITEMS, k=5)
    assert [item.id for item in found.items] == wanted
    assert [stage.kept for stage in found.stages] == [planted.ITEMS, planted.ITEMS - len(seen_by(4)), 5]


def test_an_item_without_a_score_is_dropped_and_counted(tmp_path: Path) -> None:
    made = planted.parts(tmp_path / "data", retriever=False, holes=True)
    found = Recommender(Bundle.open(planted.bundle(tmp_path, made))).recommend(999, k=1000)
    assert "i03" not in {item.id for item in found.items}
    assert len(found.items) == planted.ITEMS - 1
    assert found.stages[2].dropped == {"without a score": 1, "ranked lower": 0}


@pytest.mark.parametrize("retriever", [True, False])
def test_a_user_whom_the_models_cannot_read_is_told_what_is_missing(tmp_path: Path, retriever: bool) -> None:
    made = planted.parts(tmp_path / "data", retriever=retriever, fill=False)
    recommender = Recommender(Bundle.open(planted.bundle(tmp_path, made)))
    with pytest.raises(MissingValue, match=r"without a value for (hour or )?age.*fill_median"):
        recommender.recommend(999, {"gender": "F"})
    assert len(recommender.recommend(999, {"gender": "F", "age": 3}, k=2).items) == 2


def test_items_that_all_lack_a_value_are_dropped_and_counted(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommender, "_ranker", replace_scores(recommender._ranker))
    found = recommender.recommend(104, {"hour": 5}, k=5)
    assert found.items == ()
    assert found.stages[2].kept == 0
    assert found.stages[2].dropped["without a score"] > 0


def replace_scores(ranker: Any) -> Any:
    """The ranker, but no item has a score."""

    class Blind:
        signature = ranker.signature

        def run(self, columns: dict[str, Any]) -> Any:
            return ranker.run(columns) * np.nan

    return Blind()
