"""Rankers over the catalogue against every pair scored by itself; baselines; sampled protocols through the door."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from core.dataset import FOLD_IN, SPLIT, USER_INDEX, Dataset
from core.errors import UserError
from train.batch import Batch, Features, ListFeature
from train.evaluate import evaluate
from train.evaluation.catalogue import Catalogue
from train.evaluation.ranker_catalogue import evaluate_ranker_catalogue
from train.evaluation.spec import EvaluateSpec
from train.histories import Histories
from train.pairs import read_interactions
from train.predict import predict
from train.ranker import Ranker, load_ranker, train_ranker
from train.retriever_training import train_retriever
from train.spec import RankerSpec, RetrieverSpec

CPU = torch.device("cpu")
RANKER = {"model": {"kind": "neumf", "factors": 4, "embedding_dim": 4, "hidden": [8]}, "epochs": 3, "batch_size": 64}


@pytest.fixture(scope="module")
def trained(clubs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ranker and a candidate generator."""
    place = tmp_path_factory.mktemp("catalogue")
    train_ranker(clubs, RankerSpec.model_validate(RANKER), place / "ranker", seed=0, device=CPU)
    spec = RetrieverSpec.model_validate({"model": {"kind": "popularity"}})
    train_retriever(clubs, spec, place / "retriever", seed=0, device=CPU)
    return place


def by_hand(data: Dataset, ranker: Path, split: str, k: int) -> dict[str, float]:
    """Every user with every item as rows of the ranker, scored in one go; lists by sorting."""
    loaded = load_ranker(ranker)
    user, item = (pl.read_parquet(data.features_file(side)) for side in ("user", "item"))
    both = user.with_row_index("u").join(item.with_row_index("i"), how="cross")
    tensor = [
        torch.from_numpy(both.select(names).to_numpy().copy())
        for names in (loaded.features.categorical, loaded.features.continuous)
    ]
    score = predict(loaded.module, [Batch(tensor[0], tensor[1].float())])[0].view(user.height, item.height)
    log, at = read_interactions(data), {"valid": 1, "test": 2}[split]
    recalls, hits = [], []
    for one in range(user.height):
        mine = log.user_P == one
        seen = set(log.item_P[mine & (log.split_P < at)].tolist())
        wanted = set(log.item_P[mine & (log.split_P == at) & log.positive_P].tolist()) - seen
        order = sorted(set(range(item.height)) - seen, key=lambda each: (-score[one, each].item(), each))
        if wanted:
            recalls.append(len(wanted & set(order[:k])) / len(wanted))
            hits.append(float(bool(wanted & set(order[:k]))))
    return {f"recall@{k}": sum(recalls) / len(recalls), f"hr@{k}": sum(hits) / len(hits), "users": len(recalls)}


def test_a_ranker_over_the_catalogue(clubs: Dataset, trained: Path) -> None:
    spec = EvaluateSpec(k=(2, 8), ranker_catalogue=True, baselines=("popularity", "item_knn"))
    found = evaluate(clubs, trained, spec, device=CPU)
    part = found["catalogue"]
    assert part["model"] == "neumf"
    for split in ("valid", "test"):
        for k in (2, 8):
            expected = by_hand(clubs, trained / "ranker", split, k)
            assert {name: part[split][name] for name in expected} == pytest.approx(expected)
    assert set(part["baselines"]) == {"popularity", "item_knn"}
    assert set(found["retriever"]["baselines"]) == {"item_knn"}
    assert part["baselines"]["item_knn"] == found["retriever"]["baselines"]["item_knn"]
    assert any(line.startswith("ranker neumf over the catalogue ") for line in found["verdicts"])
    assert any("whole catalogue of 40 items" in line for line in found["protocol"]["catalogue"])
    assert any(line.endswith("evaluate.baselines: popularity, item_knn.") for line in found["protocol"]["catalogue"])
    assert not any("Held-out users" in line for line in found["protocol"]["catalogue"])


def test_the_rows_scored_at_a_time_move_no_list(clubs: Dataset, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = EvaluateSpec(k=(5,), ranker_catalogue=True)
    whole = evaluate(clubs, trained, spec, device=CPU)["catalogue"]
    monkeypatch.setattr("train.evaluation.ranker_catalogue.ROWS", 37)
    monkeypatch.setattr("train.evaluation.ranker_catalogue.block_size", lambda *_: 3)
    assert evaluate(clubs, trained, spec, device=CPU)["catalogue"] == whole


def test_a_feature_of_both_is_refused_by_name(clubs: Dataset, trained: Path, tmp_path: Path) -> None:
    data = Dataset(Path(shutil.copytree(clubs.path, tmp_path / "data")))
    file = data.features_file("user")
    pl.read_parquet(file).drop("age", "club").write_parquet(file)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "ranker").symlink_to(trained / "ranker")
    with pytest.raises(UserError, match="the ranker reads club, age, which no user and no item has alone") as told:
        evaluate(data, tmp_path / "train", EvaluateSpec(ranker_catalogue=True), device=CPU)
    assert "evaluate.ranker_catalogue" in str(told.value)


def test_a_ranker_is_needed(clubs: Dataset, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "retriever").symlink_to(trained / "retriever")
    with pytest.raises(UserError, match="no ranker that could rank"):
        evaluate(clubs, tmp_path, EvaluateSpec(ranker_catalogue=True), device=CPU)


def test_a_model_that_loses_to_what_is_counted_is_told(clubs: Dataset, trained: Path) -> None:
    seconds: dict[str, float] = {}
    spec = EvaluateSpec(k=(8,), baselines=({"kind": "ease", "l2": 5.0}, "item_knn", "ials"))
    found = evaluate(clubs, trained, spec, device=CPU, seconds=seconds)
    assert list(found["retriever"]["baselines"]) == list(seconds) == ["ease", "item_knn", "ials"]
    assert all(took >= 0 for took in seconds.values())
    told = [
        line for line in found["verdicts"] if line.startswith("retriever popularity LOSES to ease on test: recall@8")
    ]
    assert len(told) == 1
    assert "seconds" not in found


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"baselines": ["sasrec"]}, "no baseline 'sasrec'"),
        ({"baselines": ["ease", {"kind": "ease", "l2": 1}]}, "stands there twice"),
        ({"protocol": "samplet"}, "did you mean sampled"),
        ({"protocol": {"kind": "sampled", "negatives": 0}}, "greater than 0"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TypeAdapter(EvaluateSpec).validate_python(settings)


def test_sampled_figures_cannot_be_taken_for_others(clubs: Dataset, trained: Path) -> None:
    spec = EvaluateSpec(
        k=(5,),
        protocol={"kind": "sampled", "negatives": 12, "seed": 7},
        ranker_catalogue=True,
    )
    found = evaluate(clubs, trained, spec, device=CPU)
    for side in ("catalogue", "retriever"):
        figures = found[side]["test"]
        assert {name for name in figures if "@" in name} == {f"sampled_{one}@5" for one in ("hr", "ndcg", "mrr")}
        assert set(figures["intervals"]) == {name for name in figures if "@" in name}
        assert any(line.startswith("SAMPLED: ") and "12 other items" in line for line in found["protocol"][side])
        assert found["judged"]["protocol"][side] == {
            "ranked": "one among 12 sampled, uniform, seed 7",
            "mask_seen": True,
        }
        assert figures["segments"]["users"]["new"]["users"] == 4
    assert any("sampled_hr@5" in line for line in found["verdicts"])
    assert evaluate(clubs, trained, spec, device=CPU) == found


def held_out(clubs: Dataset, place: Path) -> Dataset:
    """The clubs with a third of the members held out: their rows of training are folded in."""
    data = Dataset(Path(shutil.copytree(clubs.path, place)))
    rows = pl.read_parquet(data.interactions_file)
    user = pl.col(USER_INDEX)
    away = pl.when(user % 6 == 1).then(1).when(user % 6 == 4).then(2)
    side = pl.when(away.is_null()).then(0).when(pl.col(SPLIT) == 0).then(FOLD_IN).otherwise(away)
    rows.with_columns(side.cast(pl.Int8).alias(SPLIT)).write_parquet(data.interactions_file)
    return data


KINDS: dict[str, dict[str, Any]] = {
    "ease": {},
    "item_knn": {},
    "ials": {},
    "mult_vae": {"hidden": 32, "latent": 8, "anneal": 100},
    "sasrec": {"embedding_dim": 16, "blocks": 1, "heads": 1, "dropout": 0.1, "longest": 8},
    "mf": {},
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_users_who_are_held_out(clubs: Dataset, tmp_path: Path, kind: str) -> None:
    """What is folded in tells the club of somebody whom nobody learned from; a model of known users alone is lost."""
    data, epochs = held_out(clubs, tmp_path / "data"), 4 if kind == "mf" else 20
    settings = {"model": {"kind": kind, **KINDS[kind]}, "epochs": epochs, "patience": 20, "batch_size": 16}
    settings |= {"monitor_k": 4, "optimizer": {"rate": 0.02, "embedding": "adam"}}
    spec = RetrieverSpec.model_validate(settings)
    train_retriever(data, spec, tmp_path / "train" / "retriever", seed=0, device=CPU)
    result = evaluate(data, tmp_path / "train", EvaluateSpec(k=(4,)), device=CPU)
    assert any("What is folded in is known" in line for line in result["protocol"]["retriever"])
    found = result["retriever"]["test"]
    log = read_interactions(data)
    away = torch.unique(log.user_P[log.split_P == 2])
    assert found["users"] == found["users_cold"] == len(away) == 10
    assert (found["recall@4"] > 0.9) == (kind != "mf"), found["recall@4"]


def test_what_is_folded_in_is_known_and_never_learned_from(clubs: Dataset, tmp_path: Path) -> None:
    log = read_interactions(held_out(clubs, tmp_path / "data"))
    folded = log.split_P == FOLD_IN
    assert folded.any()
    again = log.joined()
    assert set(again.split_P.unique().tolist()) == {0, 2, FOLD_IN}
    judged = torch.unique(log.user_P[log.split_P == 2])
    assert torch.equal(torch.unique(again.user_P[again.split_P != 0]), judged), "a refit learns from those who chose"
    histories, user, item = Histories.of(log), log.user_P[folded & log.positive_P], log.item_P[folded & log.positive_P]
    away = torch.unique(user)
    assert int(histories.until("valid").at("valid").sizes[away].sum()) == 0
    assert not torch.isin(log.positives("train")[0], away).any()
    for split in ("valid", "test"):
        known = {who: histories.at(split).pick(torch.tensor([who])).values_J.tolist() for who in away.tolist()}
        assert all(what in known[who] for who, what in zip(user.tolist(), item.tolist(), strict=True))
        assert log.before(split).contain(user, item.unsqueeze(1)).all()


def test_a_history_is_that_of_the_split(clubs: Dataset) -> None:
    """A ranker that counts how often the item itself was met ranks by what `Histories.at` knows."""
    item = ListFeature("history.item_id", 43, of="item_id")
    features = replace(Features.of(clubs.schema()), lists=(item,))
    spec = RankerSpec.model_validate({"model": {"kind": "logistic"}, "history": {"longest": 3}})
    seen: dict[str, dict[int, list[int]]] = {}

    class Looks(torch.nn.Module):
        def forward(self, batch: Batch) -> torch.Tensor:
            lists = batch.lists["history.item_id"]
            user_B, offset = batch.ids_BF[:, 0].tolist(), lists.offsets_B1.tolist()
            for at, user in enumerate(user_B):
                seen.setdefault(split, {})[user] = lists.values_J[offset[at] : offset[at + 1]].tolist()
            return batch.ids_BF[:, -1].float()

    for split in ("valid", "test"):
        catalogue = Catalogue.of(clubs, EvaluateSpec(k=(2,), baselines=()), CPU, [split])
        evaluate_ranker_catalogue(catalogue, Ranker(Looks().eval(), features, spec))
        known = catalogue.histories.at(split, longest=3)
        ids = pl.read_parquet(clubs.features_file("item"))["item_id"].to_list()
        users = pl.read_parquet(clubs.features_file("user"))["user_id"].to_list()
        for row, user in enumerate(users):
            if user != 2:  # newcomers share an id
                met = known.pick(torch.tensor([row])).values_J.tolist()
                assert seen[split][user] == [ids[one] for one in met]
                assert len(met) == 3
