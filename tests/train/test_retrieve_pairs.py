"""Reading interactions and entities, batches of pairs, the sampled softmax, and what is held out."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from core.dataset import ITEM_INDEX, SPLIT, TARGET, TIME, USER_INDEX, Dataset
from core.errors import UserError
from train.batch import Features
from train.evaluation.holdout import Holdout
from train.evaluation.scorer import VectorScorer
from train.item_sets import ItemSets
from train.losses.sampled import log_chance, sampled_softmax
from train.pairs import ENTITY, Interactions, PairLoader, Pairs, entity_batch, read_interactions, side_features
from train.retriever_training import train_retriever
from train.spec import RetrieverSpec

CPU = torch.device("cpu")


def copy(clubs: Dataset, place: Path) -> Dataset:
    """A copy to be spoiled."""
    return Dataset(Path(shutil.copytree(clubs.path, place / "data")))


def interactions(rows: list[tuple[int, int, int, int]]) -> Interactions:
    """(user, item, liked, split) of 4 users and 6 items."""
    user, item, liked, split = torch.tensor(rows).T
    return Interactions(user, item, liked > 0, split, torch.zeros_like(user), users=4, items=6)


def test_sides_hold_the_features_of_their_side(clubs: Dataset) -> None:
    assert side_features(clubs, "user").categorical == ("user_id", "club")
    assert side_features(clubs, "user").continuous == ("age",)
    assert side_features(clubs, "item").categorical == ("item_id",)


def test_entities_come_row_by_row(clubs: Dataset) -> None:
    batch = entity_batch(clubs, "user", side_features(clubs, "user"))
    frame = pl.read_parquet(clubs.features_file("user"))
    assert batch.ids_BF.tolist() == [list(row) for row in frame.select("user_id", "club").rows()]
    assert batch.dense_BD.squeeze(1).tolist() == frame["age"].to_list()
    assert batch.extra[ENTITY].tolist() == list(range(frame.height))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda frame: frame.with_columns(club=pl.lit(99, pl.Int32)),
            "the id 99 of 'club' lies outside its table of 7",
        ),
        (lambda frame: frame.head(3), "3 rows, 64 expected"),
        (lambda frame: frame.drop("age"), "'age' is missing"),
        (lambda frame: frame.with_columns(age=pl.lit(None, pl.Float32)), "'age' holds 64 nulls"),
        (lambda frame: frame.with_columns(age=pl.lit(math.nan, pl.Float32)), "'age' holds a NaN"),
    ],
)
def test_wrong_entities_are_told(clubs: Dataset, tmp_path: Path, change: object, message: str) -> None:
    data = copy(clubs, tmp_path)
    change(pl.read_parquet(clubs.features_file("user"))).write_parquet(data.features_file("user"))
    with pytest.raises(UserError, match=message) as told:
        entity_batch(data, "user", side_features(data, "user"))
    assert str(data.path / "entities") in str(told.value)


def test_a_missing_and_a_cut_file_are_told(clubs: Dataset, tmp_path: Path) -> None:
    data = copy(clubs, tmp_path)
    content = data.interactions_file.read_bytes()
    data.interactions_file.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"interactions\.parquet: the file cannot be read"):
        read_interactions(data)
    data.interactions_file.unlink()
    with pytest.raises(UserError, match="needs users and items"):
        read_interactions(data)


def test_an_index_beyond_the_catalogue_is_told(clubs: Dataset, tmp_path: Path) -> None:
    data = copy(clubs, tmp_path)
    frame = pl.read_parquet(data.interactions_file)
    frame.with_columns(pl.lit(40, pl.Int32).alias(ITEM_INDEX)).write_parquet(data.interactions_file)
    with pytest.raises(UserError, match=r"__item__ must lie in \[0, 40\), got \[40, 40\]"):
        read_interactions(data)


@pytest.mark.parametrize(("split", "message"), [(0, "nothing to recommend by"), (1, "validation split holds no")])
def test_nothing_to_learn_from_or_to_find_is_told(clubs: Dataset, tmp_path: Path, split: int, message: str) -> None:
    data = copy(clubs, tmp_path)
    liked = pl.when(pl.col(SPLIT) == split).then(0.0).otherwise(pl.col(TARGET)).cast(pl.Float32).alias(TARGET)
    pl.read_parquet(data.interactions_file).with_columns(liked).write_parquet(data.interactions_file)
    spec = RetrieverSpec.model_validate({"model": {"kind": "two_tower"}})
    with pytest.raises(UserError, match=message):
        train_retriever(data, spec, tmp_path / "out", seed=0, device=CPU)


def test_a_side_without_features_is_told(clubs: Dataset, tmp_path: Path) -> None:
    data = copy(clubs, tmp_path)
    schema = data.schema()
    schema.keep(name for name in schema.names if name != "item_id").write(data.schema_file)
    spec = RetrieverSpec.model_validate({"model": {"kind": "two_tower"}})
    with pytest.raises(UserError, match="no features"):
        train_retriever(data, spec, tmp_path / "out", seed=0, device=CPU)


def test_an_epoch_holds_each_pair_once_in_an_order_of_its_own() -> None:
    pairs = Pairs(torch.arange(10), torch.arange(10) * 2, users=10, items=20)
    loader = PairLoader(pairs, 4, seed=3)

    def order(number: int, start: int = 0) -> list[int]:
        batches = list(loader.epoch(number, start))
        for batch in batches:
            assert torch.equal(batch.extra[ITEM_INDEX], batch.extra[USER_INDEX] * 2)
        return [user for batch in batches for user in batch.extra[USER_INDEX].tolist()]

    assert (loader.rows, loader.steps) == (10, 3)
    assert sorted(order(0)) == list(range(10))
    assert order(0) == order(0) != order(1)
    assert order(1, start=2) == order(1)[8:]
    assert [user for batch in PairLoader(pairs, 4, seed=4).epoch(0) for user in batch.extra[USER_INDEX].tolist()] != (
        order(0)
    )


def test_sampled_softmax_by_hand() -> None:
    score, own = torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.tensor([0, 0])
    found = sampled_softmax(score, own, torch.tensor([0.5, -0.5]))
    first, second = (math.log(math.exp(a) + math.exp(b)) - a for a, b in ((0.5, 2.5), (-0.5, 3.5)))
    assert found.item() == pytest.approx((first + second) / 2, abs=1e-6)


def test_the_chance_to_be_in_a_sample_is_its_frequency() -> None:
    generator = torch.Generator().manual_seed(0)
    share, even = torch.tensor([0.7, 0.2, 0.1, 0.0]), torch.tensor([0.25, 0.25, 0.25, 0.25])
    drawn = torch.cat(
        [torch.multinomial(one.expand(20000, 4), n, True, generator=generator) for one, n in ((share, 3), (even, 2))], 1
    )
    frequency = torch.stack([(drawn == item).any(1).double().mean() for item in range(4)])
    assert torch.allclose(log_chance(share, even, pairs=3, uniform=2).exp().double(), frequency, atol=0.01)


@pytest.mark.parametrize("corrected", [True, False])
def test_the_correction_makes_the_full_softmax_the_optimum(corrected: bool) -> None:
    """One user, 60 items of known popularity: scores must become its logarithm, and without correction flatter."""
    torch.manual_seed(0)
    share = torch.arange(1, 61).double().pow(-1.0)
    share = (share / share.sum()).float()
    score = torch.zeros(60, requires_grad=True)
    mover = torch.optim.Adam([score], lr=0.05)
    chance = log_chance(share, torch.zeros(60), pairs=16, uniform=0)
    tail, steps = torch.zeros(60), 1200
    for step in range(steps):
        item, own = torch.unique(torch.multinomial(share, 16, True), return_inverse=True)
        loss = sampled_softmax(score[item].expand(16, -1), own, chance[item] if corrected else None)
        mover.zero_grad()
        loss.backward()
        mover.step()
        tail += score.detach() / (steps / 2) if step >= steps / 2 else 0
    learned = torch.log_softmax(tail, 0)
    slope = (learned[0] - learned[30:40].mean()) / (share.log()[0] - share.log()[30:40].mean())
    assert slope.item() == pytest.approx(1.0, abs=0.1) if corrected else slope < 0.6


def test_holdout_masks_what_was_seen_and_counts_what_it_leaves_out() -> None:
    data = interactions(
        [
            (0, 0, 1, 0), (0, 1, 0, 0),  # user 0 liked 0 and disliked 1 in training
            (0, 2, 1, 1), (0, 1, 1, 2),  # meets 2 in valid; 1 comes again in test, liked now
            (0, 3, 1, 2), (0, 3, 1, 2),  # 3 comes twice in test: to be found once
            (1, 4, 0, 0), (1, 0, 1, 2),  # user 1 liked nothing in training: cold
            (2, 0, 1, 0), (2, 5, 0, 2),  # user 2 has no positive in test
        ]
    )  # fmt: skip
    held = Holdout.of(data, "test")
    assert held.user_Q.tolist() == [0, 1]
    assert held.wanted.contain(torch.tensor([0, 1]), torch.arange(6).expand(2, -1)).nonzero().tolist() == [
        [0, 3],
        [1, 0],
    ]
    assert held.masked is not None
    assert held.masked.pairs(torch.tensor([0]))[1].tolist() == [0, 1, 2]
    assert held.counts == {
        "users": 2,
        "users_without_positives": 2,
        "users_cold": 1,
        "positives": 2,
        "positives_cold": 1,
        "positives_seen_before": 1,
        "items": 6,
    }
    valid = Holdout.of(data, "valid")
    assert valid.masked is not None
    assert valid.masked.pairs(torch.tensor([0]))[1].tolist() == [0, 1]
    unmasked = Holdout.of(data, "test", mask_seen=False)
    assert unmasked.masked is None
    assert unmasked.counts["positives_seen_before"] == 0
    assert unmasked.counts["positives"] == 3


def test_holdout_figures_by_hand() -> None:
    data = interactions([(0, 0, 1, 0), (0, 3, 1, 2), (1, 4, 0, 0), (1, 0, 1, 2), (1, 5, 1, 2)])
    held = Holdout.of(data, "test")
    item = torch.tensor([[9.0], [8.0], [0.0], [7.0], [6.0], [5.0]])
    found = held.figures(VectorScorer(torch.ones(2, 1), item), ks=[1, 3])
    # User 0 is shown 1, 3, 4 (0 is seen): 3 at place 2. User 1 is shown 0, 1, 3 (4 is seen): 0 at place 1.
    assert found["warm"]["mrr@3"] == 0.5
    assert found["cold"]["mrr@3"] == 1.0
    assert found["all"]["mrr@3"] == 0.75
    assert found["all"]["recall@1"] == 0.25
    assert found["all"]["recall@3"] == 0.75
    assert found["all"]["coverage@1"] == pytest.approx(2 / 6)
    assert found["all"]["coverage@3"] == pytest.approx(4 / 6)
    assert (found["all"]["users"], found["warm"]["users"], found["cold"]["users"]) == (2, 1, 1)


def test_positives_need_a_target_above_one_half(tmp_path: Path) -> None:
    data = Dataset(tmp_path)
    (tmp_path / "entities").mkdir()
    for side in ("users", "items"):
        pl.DataFrame({"id": ["a", "b"]}).write_parquet(data.entity_file(side))
    columns = {
        USER_INDEX: [0, 1, 1],
        ITEM_INDEX: [0, 1, 0],
        SPLIT: [0, 0, 0],
        TARGET: [0.5, 1.0, None],
        TIME: [0, 0, 0],
    }
    pl.DataFrame(columns).write_parquet(data.interactions_file)
    pairs = read_interactions(data).pairs("train")
    assert (pairs.user_P.tolist(), pairs.item_P.tolist()) == ([1], [1])
    assert Features((), (), ()).categorical == ()
    assert ItemSets.of(pairs.user_P, pairs.item_P, users=2, items=2).sizes.tolist() == [0, 1]
