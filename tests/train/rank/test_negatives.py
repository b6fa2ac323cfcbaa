"""Rows that never happened: what is drawn, what changes with it, and that figures don't depend on how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from core.dataset import ITEM_INDEX, SPLIT, SPLITS, TARGET, TIME, USER_INDEX, Dataset
from core.errors import UserError
from core.files import hash_tree
from core.schema import Tag
from tests.train.met import CLUBS, FIRST, ITEMS, USERS, number, write_met
from tests.train.rank.test_history import _Killed, dies_at, lists_of
from train.batch import Batch, Features, Target
from train.evaluation.ranker import evaluate_ranker, score
from train.evaluation.spec import EvaluateSpec
from train.history_batches import HistorySpec, with_lists
from train.models.rank.mlp import MlpSpec
from train.negatives.base import Liked
from train.negatives.rows import Points, RowNegativesSpec, WithNegatives, replaced_columns
from train.pairs import Pairs
from train.ranker import load_ranker, train_ranker
from train.ranker_batches import RankerRows
from train.spec import OptimizerSpec, RankerSpec

CPU = torch.device("cpu")
COUNT = 3
SPEC = RankerSpec(
    model=MlpSpec(embedding_dim=8, hidden=(16,)),
    epochs=4,
    batch_size=32,
    history=HistorySpec(longest=10, features=("genre",)),
    negatives=RowNegativesSpec(count=COUNT),
    optimizer=OptimizerSpec(rate=0.005, embedding_rate=0.1),
)


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Read only."""
    return write_met(tmp_path_factory.mktemp("met") / "data", every_row=True)


@pytest.fixture(scope="module")
def trained(met: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train_ranker(met, SPEC, out, seed=1, device=CPU)
    return out


def rows_of(dataset: Dataset, spec: RankerSpec = SPEC) -> RankerRows:
    return RankerRows(dataset, with_lists(dataset, Features.of(dataset.schema()), spec.history), spec, CPU)


def told(batches: Any, epoch: int = 0, start: int = 0) -> list[tuple[list[Any], ...]]:
    return [
        (
            batch.ids_BF.tolist(),
            batch.dense_BD.tolist(),
            batch.target_B.tolist(),
            batch.extra[ITEM_INDEX].tolist(),
            lists_of(batch, "history.genre"),
        )
        for batch in batches.epoch(epoch, start)
    ]


@pytest.mark.parametrize("split", SPLITS)
def test_each_row_is_followed_by_its_negatives(met: Dataset, split: str) -> None:
    batches = rows_of(met).in_order(split, 32)
    whole = Batch.join(list(batches.epoch(0)))
    rows = pl.concat([pl.read_parquet(file) for file in met.files(split)])
    assert len(whole) == batches.rows == rows.height * (1 + COUNT)
    assert whole.target_B.tolist() == [1.0, *[0.0] * COUNT] * rows.height
    assert whole.extra[USER_INDEX].reshape(-1, 1 + COUNT).tolist() == [
        [user] * 4 for user in rows[USER_INDEX].to_list()
    ]
    assert whole.extra[ITEM_INDEX].reshape(-1, 1 + COUNT)[:, 0].tolist() == rows[ITEM_INDEX].to_list()
    items = pl.read_parquet(met.features_file("item"))[whole.extra[ITEM_INDEX].tolist()]
    assert whole.ids_BF[:, :2].tolist() == items.select("item_id", "genre").to_numpy().tolist(), "the item's ids"
    torch.testing.assert_close(whole.dense_BD[:, 0], items["weight"].to_torch())
    assert whole.ids_BF[:, 2].reshape(-1, 1 + COUNT).tolist() == [[hour] * 4 for hour in rows["hour"].to_list()]
    lists = lists_of(whole, "history.genre")
    assert all(lists[place] == lists[place - place % 4] for place in range(len(lists))), "the history is the user's"


@pytest.mark.parametrize("split", SPLITS)
def test_what_a_user_likes_by_then_is_never_drawn(met: Dataset, split: str) -> None:
    log = pl.read_parquet(met.interactions_file).filter(pl.col(SPLIT) <= SPLITS.index(split))
    liked = set(log.select(USER_INDEX, ITEM_INDEX).iter_rows())
    drawn, later = set(), set(pl.read_parquet(met.interactions_file).select(USER_INDEX, ITEM_INDEX).iter_rows()) - liked
    for epoch in range(20 if split == "train" else 1):
        source = rows_of(met)
        batches = source.shuffled(["train"], 32, seed=2) if split == "train" else source.in_order(split, 32)
        for batch in batches.epoch(epoch):
            wrong = batch.target_B == 0
            drawn |= set(
                zip(batch.extra[USER_INDEX][wrong].tolist(), batch.extra[ITEM_INDEX][wrong].tolist(), strict=True)
            )
    assert not drawn & liked
    if split == "train":
        assert drawn & later, "training knows nothing of what comes later"
        every = {(user, item) for user, _ in liked for item in range(ITEMS)}
        assert len(drawn) > 0.95 * len(every - liked), "everything else is drawn sooner or later"


def test_negatives_of_training_change_and_those_of_valid_do_not(met: Dataset) -> None:
    source = rows_of(met)
    train, valid = source.shuffled(["train"], 32, seed=5), source.in_order("valid", 32)
    assert told(train, 1) == told(train, 1)
    assert told(train, 1)[4:] == told(train, 1, start=4)
    assert told(train, 0) != told(train, 1)
    assert told(train, 0) != told(source.shuffled(["train"], 32, seed=6), 0)
    assert told(valid, 0) == told(valid, 7)
    other = SPEC.model_copy(update={"negatives": RowNegativesSpec(count=COUNT, seed=1)})
    assert told(valid) != told(rows_of(met, other).in_order("valid", 32))


def test_how_rows_are_cut_changes_no_negative(met: Dataset) -> None:
    def whole(size: int) -> list[int]:
        return Batch.join(list(rows_of(met).in_order("test", size).epoch(0))).extra[ITEM_INDEX].tolist()

    assert whole(7) == whole(4096)


def test_points_are_even_and_the_same_in_any_pieces() -> None:
    points = Points(3, "valid", 4)
    whole = points.rows(0, 10_000)
    assert torch.equal(whole[5000:9000], Points(3, "valid", 4).rows(5000, 9000))
    assert abs(float(whole.mean()) - 0.5) < 0.01
    assert not torch.equal(whole[:10], Points(4, "valid", 4).rows(0, 10))
    assert not torch.equal(whole[:10], Points(3, "test", 4).rows(0, 10))


def test_users_who_like_everything_have_no_negatives() -> None:
    features = Features(("item",), (3,), ())
    table = Batch(torch.arange(3).unsqueeze(1), torch.zeros(3, 0))
    user, item = torch.tensor([0, 1]), torch.tensor([2, 2])

    class Two:
        rows, steps = 2, 1

        def epoch(self, number: int, start: int = 0) -> Any:
            extra = {USER_INDEX: user, ITEM_INDEX: item}
            yield Batch(item.unsqueeze(1), torch.zeros(2, 0), torch.ones(2), extra)

    liked = Liked(Pairs(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 2, 2]), users=2, items=3))
    settings: dict[str, Any] = {"features": features, "table": table, "columns": features, "liked": liked}
    batches = WithNegatives(Two(), batch_size=2, count=2, seed=0, split="valid", frozen=True, full=1, **settings)
    batch = next(batches.epoch(0))
    assert batches.rows == len(batch) == 4
    assert batch.extra[USER_INDEX].tolist() == [0, 1, 1, 1]
    assert batch.target_B.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert set(batch.ids_BF[2:, 0].tolist()) <= {0, 1}


def test_the_history_tells_liked_from_drawn(met: Dataset, trained: Path) -> None:
    ranker, baseline = load_ranker(trained), load_ranker(trained / "baseline")
    found = score(met, "test", ranker, batch_size=100, device=CPU)
    assert found.figures()["auc"] > 0.8
    assert found.figures()["positive_rate"] == 1 / (1 + COUNT)
    simple = score(met, "test", baseline, batch_size=64, device=CPU)
    assert torch.equal(simple.item_N, found.item_N), "both are judged by the same rows"
    assert torch.equal(simple.user_N, found.user_N)
    assert simple.figures()["auc"] < 0.6


def test_evaluation_says_what_figures_are_against(met: Dataset, trained: Path) -> None:
    found = evaluate_ranker(met, load_ranker(trained), {}, EvaluateSpec(), CPU)
    assert any("against 3 uniform negatives a row" in line for line in found.protocol)
    constant = found.metrics["baselines"]["constant"]["test"]
    assert constant["calibration"] == pytest.approx(1.0)


def test_a_killed_run_goes_on_to_the_same_bytes(
    met: Dataset, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies_at(monkeypatch, 25)
    with pytest.raises(_Killed):
        train_ranker(met, SPEC.model_copy(update={"checkpoint_seconds": 0.0}), tmp_path, seed=1, device=CPU)
    monkeypatch.undo()
    train_ranker(met, SPEC, tmp_path, seed=1, device=CPU)
    assert hash_tree(tmp_path) == hash_tree(trained)


@pytest.mark.parametrize(
    ("column", "named"),
    [
        (number("sold_before", Tag.ITEM, other_rows=True), "sold_before"),
        (number("paid", Tag.ITEM), "paid"),
        (number("both", Tag.USER, Tag.ITEM), "both"),
        (number("nobodys"), "nobodys"),
    ],
)
def test_what_goes_with_the_item_and_is_not_known_of_others(tmp_path: Path, column: Any, named: str) -> None:
    dataset = write_met(tmp_path / "data", every_row=True, more=(column,))
    with pytest.raises(UserError, match=rf"train.ranker.negatives: the feature '{named}' goes with the row's item"):
        replaced_columns(dataset, Features.of(dataset.schema()))


def test_what_is_of_the_user_or_the_moment_may_stand_there(tmp_path: Path) -> None:
    more = (number("bought_before", Tag.USER, other_rows=True), number("weather", Tag.CONTEXT))
    dataset = write_met(tmp_path / "data", every_row=True, more=more)
    assert replaced_columns(dataset, Features.of(dataset.schema())).names == ("item_id", "genre", "weight")


def test_rows_of_both_classes_need_no_negatives(tmp_path: Path) -> None:
    dataset = write_met(tmp_path / "data")
    with pytest.raises(UserError, match=r"some rows are not positive.*leave out train.ranker.negatives"):
        train_ranker(dataset, SPEC, tmp_path / "out", seed=1, device=CPU)


def test_rows_of_one_class_need_negatives(met: Dataset, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"negatives": None})
    with pytest.raises(UserError, match=r"every label is 1.*add train.ranker.negatives"):
        train_ranker(met, spec, tmp_path / "out", seed=1, device=CPU)


def test_several_targets_have_no_negatives(met: Dataset) -> None:
    features = Features(("item_id",), (9,), (), targets=(Target(), Target("bought", "__target_bought__")))
    with pytest.raises(UserError, match="no further targets"):
        replaced_columns(met, features)


def test_the_data_are_as_described(met: Dataset) -> None:
    rows = pl.concat([pl.read_parquet(file) for file in met.files("train")])
    assert rows[TARGET].unique().to_list() == [1.0]
    assert (rows["genre"] - FIRST).to_list() == (rows[USER_INDEX] % CLUBS).to_list()
    assert rows[TIME].is_sorted()
    assert rows[USER_INDEX].n_unique() == USERS
