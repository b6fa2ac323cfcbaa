"""Segments: known ones by hand, none overlap, together they are the whole; what can't be cut is refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from core.dataset import Dataset
from core.errors import UserError
from train.evaluate import evaluate
from train.evaluation.segments import MOST, NONE, OTHER, head, segments
from train.evaluation.spec import EvaluateSpec
from train.pairs import read_interactions
from train.ranker import train_ranker
from train.retriever_training import train_retriever
from train.spec import RankerSpec, RetrieverSpec

CPU = torch.device("cpu")
COLUMNS = ("place", "born", "many", "score", "items.kind", "flag")


@pytest.fixture(scope="module")
def data(clubs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The clubs, with raw columns of every kind."""
    found = Dataset(Path(shutil.copytree(clubs.path, tmp_path_factory.mktemp("segments") / "data")))
    users, items = (pl.read_parquet(found.entity_file(side)) for side in ("users", "items"))
    number = pl.int_range(pl.len())
    users.with_columns(
        place=pl.when(number % 7 == 0).then(None).otherwise(pl.concat_str(pl.lit("town "), number % 3)),
        born=1950 + number,
        many=pl.concat_str(pl.lit("street "), number % 20),
        score=pl.when(number == 3).then(float("nan")).otherwise(number % 4 / 2.0),
        flag=number % 2 == 0,
        kind=pl.lit("person"),
        visits=pl.concat_list(number, number),
    ).write_parquet(found.entity_file("users"))
    items.with_columns(kind=pl.concat_str(pl.lit("kind "), number % 2)).write_parquet(found.entity_file("items"))
    return found


@pytest.fixture(scope="module")
def trained(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that learn nothing worth telling, fast."""
    place = tmp_path_factory.mktemp("trained")
    ranker = {"model": {"kind": "logistic"}, "epochs": 1, "batch_size": 64}
    train_ranker(data, RankerSpec.model_validate(ranker), place / "ranker", seed=0, device=CPU)
    spec = RetrieverSpec.model_validate({"model": {"kind": "popularity"}})
    train_retriever(data, spec, place / "retriever", seed=0, device=CPU)
    return place


def by(data: Dataset, *columns: str) -> dict[str, dict[str, list[bool]]]:
    found: dict[str, dict[str, list[bool]]] = {}
    for one in segments(data, read_interactions(data), columns):
        found.setdefault(one.by, {})[one.name] = one.there.tolist()
    return found


def test_each_kind_is_a_partition(data: Dataset) -> None:
    found = by(data, *COLUMNS)
    assert list(found) == ["users", "items", *COLUMNS]
    for parts in found.values():
        assert {sum(flags) for flags in zip(*parts.values(), strict=True)} == {1}


def test_names_and_cuts(data: Dataset) -> None:
    found = by(data, *COLUMNS)
    assert list(found["place"]) == ["town 0", "town 1", "town 2", NONE]
    assert [name[0] for name in found["born"]] == ["1", "2", "3", "4"]
    assert found["born"]["1: up to 1965"] == [number <= 15 for number in range(64)]
    assert len(found["many"]) == MOST
    assert OTHER in found["many"]
    assert list(found["score"]) == ["0.0", "0.5", "1.0", "1.5", NONE]
    assert found["score"][NONE].index(True) == 3
    assert list(found["flag"]) == ["false", "true"]
    assert list(found["items.kind"]) == ["kind 0", "kind 1"]


def test_head_items_hold_a_fifth_of_the_interactions() -> None:
    assert head(torch.tensor([10, 9, 9, 9, 9, 4])).tolist() == [True, False, False, False, False, False]
    assert head(torch.tensor([3, 3, 3, 3, 3, 3])).tolist() == [True, True] + [False] * 4  # 3 of 18 are less than 3.6
    assert not head(torch.zeros(3, dtype=torch.int64)).any()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("plaice", "no user and no item has a column 'plaice'.*did you mean place"),
        ("kind", "both have a column 'kind'.*write users.kind or items.kind"),
        ("visits", "visits holds List.*text or numbers"),
        ("items.born", "no user and no item has a column 'items.born'"),
    ],
)
def test_what_tells_no_segments_is_refused(data: Dataset, column: str, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s)evaluate.segments.*{message}"):
        by(data, column)


def test_figures_of_segments_make_up_the_whole(data: Dataset, trained: Path) -> None:
    spec = EvaluateSpec(k=(2, 8), segments=("place", "items.kind"))
    found = evaluate(data, trained, spec, device=CPU)
    lists, rows = found["retriever"]["test"], found["ranker"]["test"]
    for name in ("users", "place"):
        parts = lists["segments"][name].values()
        assert sum(part["users"] for part in parts) == lists["users"]
        for metric in ("recall@2", "ndcg@8", "map@8"):
            whole = sum(part[metric] * part["users"] for part in parts) / lists["users"]
            assert whole == pytest.approx(lists[metric], abs=1e-12)
    for name in ("items", "items.kind"):
        assert sum(part["positives"] for part in lists["segments"][name].values()) == lists["positives"]
    for parts in rows["segments"].values():
        assert sum(part["rows"] for part in parts.values()) == rows["rows"]
        whole = sum(part["logloss"] * part["rows"] for part in parts.values()) / rows["rows"]
        assert whole == pytest.approx(rows["logloss"], abs=1e-12)
    low, high = lists["segments"]["items"]["tail"]["intervals"]["recall@8"]
    assert low <= lists["segments"]["items"]["tail"]["recall@8"] <= high
    # Popularity recommends what is popular.
    assert lists["segments"]["items"]["head"]["recall@8"] > lists["segments"]["items"]["tail"]["recall@8"]


def test_segments_need_users_and_items(data: Dataset, trained: Path, tmp_path: Path) -> None:
    bare = Dataset(Path(shutil.copytree(data.path, tmp_path / "data")))
    bare.interactions_file.unlink()
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "ranker").symlink_to(trained / "ranker")
    assert "segments" not in evaluate(bare, tmp_path / "train", EvaluateSpec(), device=CPU)["ranker"]["test"]
    with pytest.raises(UserError, match="segments need users and items"):
        evaluate(bare, tmp_path / "train", EvaluateSpec(segments=("place",)), device=CPU)


def test_one_split_alone_is_judged(data: Dataset, trained: Path, tmp_path: Path) -> None:
    users_file = tmp_path / "users.parquet"
    found = evaluate(data, trained, EvaluateSpec(), device=CPU, splits=["valid"], users_file=users_file)
    assert "valid" in found["ranker"]
    assert "test" not in found["ranker"]
    assert "test" not in found["retriever"]
    assert pl.read_parquet(users_file)["split"].unique().to_list() == ["valid"]
