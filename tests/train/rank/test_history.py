"""What a row's user met before it: never what happened at its moment, later, or in a later split."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import train.trainer
from core.dataset import ASIDE, ITEM_INDEX, SPLIT, SPLITS, TARGET, TIME, USER_INDEX, Dataset
from core.errors import UserError
from core.files import hash_tree
from core.schema import Schema
from tests.train.met import CLUBS, FIRST, ITEMS, USERS, write_log, write_met
from train.batch import Batch, Features, ListFeature
from train.evaluation.ranker import evaluate_ranker, score
from train.evaluation.spec import EvaluateSpec
from train.histories import Histories
from train.history_batches import HistorySpec, with_lists
from train.models.rank.mlp import MlpSpec
from train.pairs import Interactions, read_interactions
from train.ranker import load_ranker, train_ranker
from train.ranker_batches import RankerRows
from train.spec import OptimizerSpec, RankerSpec

CPU = torch.device("cpu")
SPEC = RankerSpec(
    model=MlpSpec(embedding_dim=8, hidden=(16,)),
    epochs=5,
    batch_size=64,
    history=HistorySpec(longest=10),
    optimizer=OptimizerSpec(rate=0.005, embedding_rate=0.1),
)


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Read only."""
    return write_met(tmp_path_factory.mktemp("met") / "data")


@pytest.fixture(scope="module")
def trained(met: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train_ranker(met, SPEC, out, seed=1, device=CPU)
    return out


def rows_of(dataset: Dataset, spec: RankerSpec = SPEC) -> RankerRows:
    return RankerRows(dataset, with_lists(dataset, Features.of(dataset.schema()), spec.history), spec, CPU)


def whole(dataset: Dataset, split: str, spec: RankerSpec = SPEC) -> Batch:
    return Batch.join(list(rows_of(dataset, spec).in_order(split, 64).epoch(0)))


def lists_of(batch: Batch, name: str = "history.item_id") -> list[list[int]]:
    values = batch.lists[name].values_J.tolist()
    offsets = batch.lists[name].offsets_B1.tolist()
    return [values[start:stop] for start, stop in pairwise(offsets)]


def random_log(rows: int = 300, users: int = 6) -> Interactions:
    torch.manual_seed(0)
    user, item, time = (torch.randint(0, size, (rows,)) for size in (users, 50, 40))
    return Interactions(user, item, torch.rand(rows) < 0.7, torch.randint(0, 3, (rows,)), time, users + 1, 50)


@pytest.mark.parametrize("longest", [None, 1, 5])
@pytest.mark.parametrize("positives_only", [True, False])
def test_before_gives_what_a_loop_gives(longest: int | None, positives_only: bool) -> None:
    log = random_log()
    user_B, time_B = torch.randint(0, 7, (200,)), torch.randint(-1, 42, (200,))
    found = Histories.of(log, positives_only=positives_only).before(user_B, time_B, longest=longest)
    order = torch.argsort(log.time_P, stable=True).tolist()
    expected = []
    for user, time in zip(user_B.tolist(), time_B.tolist(), strict=True):
        kept = [p for p in order if log.user_P[p] == user and log.time_P[p] < time]
        kept = [p for p in kept if not positives_only or log.positive_P[p]]
        expected.append([int(log.item_P[p]) for p in kept[-(longest or len(kept)) or None :]] if kept else [])
    offsets = found.offsets_B1.tolist()
    values = found.values_J.tolist()
    assert [values[start:stop] for start, stop in pairwise(offsets)] == expected


def test_nobody_met_anything() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    log = Interactions(nothing, nothing, nothing.bool(), nothing, nothing, users=3, items=4)
    assert Histories.of(log).before(torch.tensor([0, 2]), torch.tensor([5, 9]), longest=3).sizes.tolist() == [0, 0]


@pytest.mark.parametrize("split", SPLITS)
def test_a_row_knows_what_its_user_liked_earlier(met: Dataset, split: str) -> None:
    """Against a loop over the raw rows: strictly earlier ones, of no later split, those set aside among them."""
    log, rows = pl.read_parquet(met.interactions_file), pl.concat([pl.read_parquet(file) for file in met.files(split)])
    known = log.filter((pl.col(TARGET) > 0.5) & ((pl.col(SPLIT) <= SPLITS.index(split)) | (pl.col(SPLIT) == ASIDE)))
    ids = pl.read_parquet(met.features_file("item"))
    batch = whole(met, split)
    for name in ("item_id", "genre"):
        expected = []
        for user, time in rows.select(USER_INDEX, TIME).iter_rows():
            before = known.filter((pl.col(USER_INDEX) == user) & (pl.col(TIME) < time))[ITEM_INDEX].to_list()
            expected.append(ids[name].gather(before[-10:]).to_list())
        assert lists_of(batch, f"history.{name}") == expected
    if split == "train":
        assert any(not one for one in expected), "somebody has met nothing yet"
    assert any(len(one) == 10 for one in expected) or split == "train"


def _poisoned(met: Dataset, directory: Path, wrong: pl.Expr) -> Dataset:
    """The same data, but that the log tells another item, and likes it, where the expression holds."""
    shutil.copytree(met.path, directory)
    log = pl.read_parquet(met.interactions_file)
    other = pl.when(wrong).then((pl.col(ITEM_INDEX) + 1) % ITEMS).otherwise(pl.col(ITEM_INDEX)).cast(pl.Int32)
    liked = pl.when(wrong).then(pl.lit(1.0)).otherwise(pl.col(TARGET)).cast(pl.Float32)
    write_log(directory, log.with_columns(other.alias(ITEM_INDEX), liked.alias(TARGET)))
    return Dataset(directory)


def test_what_happens_later_changes_nothing_before(met: Dataset, tmp_path: Path) -> None:
    moment = 120
    poisoned = _poisoned(met, tmp_path / "data", pl.col(TIME) >= moment)
    changed = 0
    for split in SPLITS:
        time = pl.concat([pl.read_parquet(file) for file in met.files(split)])[TIME].to_list()
        right, wrong = lists_of(whole(met, split)), lists_of(whole(poisoned, split))
        assert [one for one, at in zip(right, time, strict=True) if at <= moment] == [
            one for one, at in zip(wrong, time, strict=True) if at <= moment
        ]
        changed += right != wrong
    assert changed, "later rows do see it"


@pytest.mark.parametrize("split", ["train", "valid"])
def test_later_splits_are_never_seen(met: Dataset, tmp_path: Path, split: str) -> None:
    """Whatever their moments: here rows of later splits lie among the earliest."""
    early = tmp_path / "early"
    shutil.copytree(met.path, early)
    later = (pl.col(SPLIT) > SPLITS.index(split)) & (pl.col(SPLIT) < ASIDE)
    log = pl.read_parquet(met.interactions_file)
    write_log(early, log.with_columns(pl.when(later).then(0).otherwise(pl.col(TIME)).alias(TIME)))
    assert lists_of(whole(Dataset(early), split)) == lists_of(whole(met, split))
    poisoned = _poisoned(Dataset(early), tmp_path / "data", later)
    assert lists_of(whole(poisoned, split)) == lists_of(whole(met, split))
    assert lists_of(whole(poisoned, "test")) != lists_of(whole(met, "test"))


def test_lists_of_a_row_belong_together(met: Dataset) -> None:
    batch = whole(met, "valid")
    items, genres = (batch.lists[f"history.{name}"] for name in ("item_id", "genre"))
    assert torch.equal(items.offsets_B1, genres.offsets_B1)
    known = items.values_J >= FIRST
    assert torch.equal((items.values_J[known] - FIRST + 1) % CLUBS + FIRST, genres.values_J[known])
    assert bool((items.values_J == FIRST - 1).any()), "an unknown item stands there as the unknown one"


def test_chosen_features_and_all_rows(met: Dataset) -> None:
    spec = SPEC.model_copy(update={"history": HistorySpec(longest=500, features=("genre",), positives_only=False)})
    batch = whole(met, "test", spec)
    assert set(batch.lists) == {"history.genre"}
    assert batch.lists["history.genre"].sizes.sum() > 2 * whole(met, "test").lists["history.genre"].sizes.sum()


def test_only_the_history_tells_and_the_model_reads_it(met: Dataset, trained: Path) -> None:
    ranker = load_ranker(trained)
    assert ranker.features.history == (
        ListFeature("history.item_id", ITEMS + FIRST, of="item_id"),
        ListFeature("history.genre", CLUBS + FIRST, of="genre"),
    )
    assert score(met, "test", ranker, batch_size=100, device=CPU).figures()["auc"] > 0.8
    baseline = load_ranker(trained / "baseline")
    assert baseline.spec.history is None
    assert not baseline.features.lists
    assert score(met, "test", baseline, batch_size=100, device=CPU).figures()["auc"] < 0.6


def test_evaluation_gives_each_row_its_own_history(met: Dataset, trained: Path) -> None:
    spec = EvaluateSpec()
    found = evaluate_ranker(met, load_ranker(trained), {"logistic": load_ranker(trained / "baseline")}, spec, CPU)
    scored = [score(met, "test", load_ranker(trained), batch_size=size, device=CPU).logit_N for size in (7, 4096)]
    torch.testing.assert_close(*scored)
    assert any("strictly before the row's moment" in line for line in found.protocol)


@pytest.mark.parametrize("threads", [1, 2])
def test_two_runs_give_the_same_bytes(met: Dataset, trained: Path, tmp_path: Path, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        train_ranker(met, SPEC, tmp_path, seed=1, device=CPU)
    finally:
        torch.set_num_threads(before)
    assert hash_tree(tmp_path) == hash_tree(trained)


class _Killed(Exception):
    pass


@pytest.mark.parametrize("step", [3, 30])
def test_a_killed_run_goes_on_to_the_same_bytes(
    met: Dataset, trained: Path, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies_at(monkeypatch, step)
    with pytest.raises(_Killed):
        train_ranker(met, SPEC.model_copy(update={"checkpoint_seconds": 0.0}), tmp_path, seed=1, device=CPU)
    monkeypatch.undo()
    train_ranker(met, SPEC, tmp_path, seed=1, device=CPU, baseline=False)
    assert hash_tree(tmp_path)["model.safetensors"] == hash_tree(trained)["model.safetensors"]
    assert json.loads((tmp_path / "history.json").read_text()) == json.loads((trained / "history.json").read_text())


def dies_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Training is killed after so many steps."""
    save, taken = train.trainer._Run._save, iter(range(1, step + 1))

    def dying(run: Any) -> None:
        save(run)
        if next(taken, None) is None:
            raise _Killed

    monkeypatch.setattr(train.trainer._Run, "_save", dying)


def _without_time(met: Dataset, directory: Path) -> Dataset:
    shutil.copytree(met.path, directory)
    dataset = Dataset(directory)
    Schema(tuple(column for column in met.schema() if column.name != TIME)).write(dataset.schema_file)
    return dataset


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"features": ["price"]}, r"history.features: 'price' is no such feature of items; choose .*: item_id, genre"),
        ({"features": ["weight"]}, "'weight' is no such feature of items"),
    ],
)
def test_a_feature_that_items_have_not(met: Dataset, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_lists(met, Features.of(met.schema()), HistorySpec.model_validate(spec))


def test_data_without_moments_are_refused(met: Dataset, tmp_path: Path) -> None:
    dataset = _without_time(met, tmp_path / "data")
    with pytest.raises(UserError, match=r"needs users, items and the moment of each row.*data\.roles"):
        train_ranker(dataset, SPEC, tmp_path / "out", seed=1, device=CPU)
    assert not (tmp_path / "out").exists()


def test_a_feature_that_is_called_like_a_history(met: Dataset) -> None:
    features = replace(Features.of(met.schema()), continuous=("history.genre",))
    with pytest.raises(UserError, match=r"already called 'history\.genre'"):
        with_lists(met, features, HistorySpec())


def test_users_without_rows_have_no_history(met: Dataset) -> None:
    histories = Histories.of(read_interactions(met)).during("test")
    assert histories.before(torch.arange(USERS), torch.zeros(USERS, dtype=torch.int64)).sizes.sum() == 0


def _steps(batches: Any, number: int, start: int = 0) -> Iterator[tuple[list[int], list[list[int]]]]:
    for batch in batches.epoch(number, start):
        yield batch.extra[TIME].tolist(), lists_of(batch)


def test_an_epoch_is_taken_up_at_a_step(met: Dataset) -> None:
    batches = rows_of(met).shuffled(["train"], 64, seed=5)
    assert list(_steps(batches, 2))[4:] == list(_steps(batches, 2, start=4))
    assert list(_steps(batches, 2)) != list(_steps(batches, 3))
