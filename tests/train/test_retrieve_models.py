"""Candidate generators find what is known to be right, and hold the contract."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch

from core.dataset import ITEM_INDEX, SPLIT, TARGET, Dataset
from tests.contract.counted import CountedContract
from tests.contract.retrievers import RetrieverContract
from tests.train.clubs import ITEMS, UNKNOWN, users
from train.evaluation.baselines import count_baselines
from train.evaluation.holdout import Holdout
from train.histories import Histories
from train.models.retrieve import FACTORS
from train.models.retrieve.base import Facts, Sizes
from train.models.retrieve.ease import EaseSpec
from train.models.retrieve.ials import IalsSpec
from train.models.retrieve.item_knn import ItemKnnSpec
from train.models.retrieve.popularity import PopularitySpec
from train.models.retrieve.two_tower import TwoTowerSpec
from train.pairs import read_interactions, read_tables, side_features, take
from train.retriever import Retriever, load_retriever
from train.retriever_training import train_retriever
from train.spec import OptimizerSpec, RetrieverSpec

CPU = torch.device("cpu")


class TestPopularity(CountedContract, model=PopularitySpec()):
    """Counts."""


class TestTwoTower(RetrieverContract, model=TwoTowerSpec(embedding_dim=8, uniform_negatives=8)):
    """Sums of embeddings."""


class TestDeepTwoTower(
    RetrieverContract,
    model=TwoTowerSpec(embedding_dim=8, hidden=(16,), dropout=0.1, unit=True, temperature=0.2, uniform_negatives=0),
):
    """Perceptrons, cosine similarity, in-batch negatives alone."""


class TestItemKnn(CountedContract, model=ItemKnnSpec(neighbours=6, shrink=1.0)):
    """A sparse matrix of items by items."""


class TestEase(CountedContract, model=EaseSpec(l2=2.0)):
    """A whole matrix of items by items."""


class TestNearestEase(CountedContract, model=EaseSpec(l2=2.0, neighbours=6)):
    """The largest weights of each column."""


class TestIals(CountedContract, model=IalsSpec(embedding_dim=8, sweeps=3)):
    """Vectors of items, and users folded in."""


def test_every_model_has_its_contract() -> None:
    counted = (TestPopularity, TestItemKnn, TestEase, TestNearestEase, TestIals)
    tested = {test.model.kind for test in (*counted, TestTwoTower, TestDeepTwoTower)}
    elsewhere = {kind for kind in FACTORS if (Path(__file__).parent / f"retrieve/test_{kind}.py").exists()}
    assert tested | elsewhere == set(FACTORS)


def trained(clubs: Dataset, out: Path, **settings: object) -> Retriever:
    """A two-tower that has learned the clubs."""
    model = TwoTowerSpec(embedding_dim=8, uniform_negatives=16, **settings)
    optimizer = OptimizerSpec(rate=0.01, embedding_rate=0.2)
    spec = RetrieverSpec(model=model, epochs=25, batch_size=64, optimizer=optimizer, monitor_k=5, patience=25)
    train_retriever(clubs, spec, out, seed=0, device=CPU)
    return load_retriever(out)


def recall(clubs: Dataset, retriever: Retriever, *, k: int, group: str = "all") -> float:
    """Recall of the test split."""
    holdout = Holdout.of(read_interactions(clubs), "test")
    tables = read_tables(clubs, retriever.user_features, retriever.item_features)
    scorer = retriever.scorer(take(tables.user, holdout.user_Q), tables.item)
    return holdout.figures(scorer, ks=[k])[group][f"recall@{k}"]


def test_popularity_counts_likes_of_the_training_split(clubs: Dataset) -> None:
    frame = pl.read_parquet(clubs.interactions_file).filter(pl.col(SPLIT) == 0, pl.col(TARGET) > 0.5)
    counts = [frame.filter(pl.col(ITEM_INDEX) == item).height for item in range(4 * ITEMS)]
    one = counted(clubs)
    tables = read_tables(clubs, one.user_features, one.item_features)
    assert one.item_vectors(tables.item).tolist() == [[float(count)] for count in counts]
    assert one.user_vectors(tables.user).unique().tolist() == [1.0]


def counted(clubs: Dataset) -> Retriever:
    """Popularity."""
    return count_baselines([PopularitySpec()], *facts_of(clubs))["popularity"]


def facts_of(clubs: Dataset) -> tuple[Facts, Sizes]:
    """What is learned from."""
    interactions = read_interactions(clubs)
    user, item = side_features(clubs, "user"), side_features(clubs, "item")
    facts = Facts(interactions.pairs("train"), Histories.of(interactions), read_tables(clubs, user, item))
    return facts, Sizes(user, item, interactions.users, interactions.items)


@pytest.fixture(scope="module")
def two_tower(clubs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """One that has learned the clubs."""
    return trained(clubs, tmp_path_factory.mktemp("two_tower") / "out")


def test_two_tower_finds_the_own_club(clubs: Dataset, two_tower: Retriever) -> None:
    # After masking what was seen, two items of the own club are left, the two to be found.
    assert recall(clubs, two_tower, k=2, group="warm") > 0.95
    assert recall(clubs, counted(clubs), k=2, group="warm") < 0.6


def test_a_newcomer_is_served_by_the_other_features(clubs: Dataset, two_tower: Retriever) -> None:
    # Newcomers have met two of ten items of their club, so two of its eight others are a quarter of a full list.
    assert recall(clubs, two_tower, k=8, group="cold") == 1.0


def test_unknown_ids_share_the_embedding_of_the_unknown(clubs: Dataset, two_tower: Retriever) -> None:
    tables = read_tables(clubs, two_tower.user_features, two_tower.item_features)
    tower = two_tower.towers.query
    never = tower.embedding.weight[[0, 1, UNKNOWN]]  # padding, null and unknown ids of the first feature
    unknown = tower.embedding.weight[tower.unknown_F[0]]
    assert torch.equal(never, unknown.expand(3, -1))
    assert unknown.abs().sum() > 0  # rare ids have trained it
    _, newcomer_U = users()
    assert (tables.user.ids_BF[torch.from_numpy(newcomer_U), 0] == UNKNOWN).all()


def test_without_weight_the_unknown_is_the_zero_vector(clubs: Dataset, tmp_path: Path) -> None:
    tower = trained(clubs, tmp_path / "out", unknown=0.0).towers.query
    assert tower.embedding.weight[[0, 1, UNKNOWN]].abs().sum() == 0


@pytest.mark.parametrize("change", [{"correction": False}, {"temperature": 0.5}, {"uniform_negatives": 3}])
def test_every_setting_reaches_the_loss(clubs: Dataset, change: dict[str, object]) -> None:
    assert first_loss(clubs, TwoTowerSpec(uniform_negatives=0)) != first_loss(
        clubs, TwoTowerSpec(**{"uniform_negatives": 0, **change})
    )


def first_loss(clubs: Dataset, model: TwoTowerSpec) -> float:
    """The loss of the first batch, with fresh weights of one seed."""
    facts, sizes = facts_of(clubs)
    torch.manual_seed(0)
    loss = model.objective(model.build(sizes), facts)
    return loss(next(model.batches(facts, batch_size=8, seed=0).epoch(0))).item()
