"""Going on learning: yesterday's rows are found again in tables that have grown or were numbered anew."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

import train.trainer
from core.dataset import SPLIT, USER_INDEX, Dataset
from core.errors import UserError
from core.files import hash_tree
from etl.dataset.prepare import prepare
from etl.dataset.sources import Roles, Sources
from etl.spec import EtlSpec
from tests.contract.retrievers import CPU, Killed
from train.batch import Batch, Features
from train.histories import HISTORY
from train.jagged import Jagged
from train.loader import Loader
from train.models import RETRIEVERS
from train.models.next_item.bert4rec import Bert4RecSpec
from train.models.next_item.gru4rec import Gru4RecSpec
from train.models.next_item.sasrec import SasRecSpec
from train.models.rank.mlp import MlpSpec
from train.models.retrieve.base import Scores, Sizes, Towers, TrainedModel
from train.models.retrieve.lightgcn import LightGcnSpec
from train.models.retrieve.mf import MfSpec
from train.models.retrieve.mult_vae import MultVaeSpec
from train.models.retrieve.two_tower import TwoTowerSpec
from train.pairs import read_interactions, read_tables, side_features, take
from train.ranker import _begun as begun_ranker
from train.ranker import load_ranker, train_ranker
from train.retriever import load_retriever
from train.retriever_training import _Training, train_retriever
from train.row_maps import FRESH, Renumbered
from train.spec import AverageSpec, OptimizerSpec, RankerSpec, RetrieverSpec, StartSpec
from train.warm_start import Earlier

ETL: dict[str, Any] = {
    "target": {"column": "rating", "at_least": 4},
    "split": {"by": "time", "valid": 0.15, "test": 0.15},
    "features": [{"columns": ["user_id", "item_id", "tags"], "ops": ["categorify"]}],
}
SHARED = 20  # users and items of both days: their ids are even; those of Tuesday alone are odd and lie between them

MODELS = [
    TwoTowerSpec(embedding_dim=8),
    MfSpec(embedding_dim=8),
    LightGcnSpec(embedding_dim=8),
    MultVaeSpec(hidden=8, latent=4),
    SasRecSpec(embedding_dim=8, longest=6, bias=True),
    Gru4RecSpec(embedding_dim=8, longest=6),
    Bert4RecSpec(embedding_dim=8, longest=6),
]


def _write_day(path: Path, *, ids: list[int], seed: int) -> None:
    rng, rows = np.random.default_rng(seed), 600
    user, item = (rng.choice(ids, rows) for _ in range(2))
    liked = np.where((user + item) // 2 % 3 == 0, 5, 1)
    tags = [[f"t{one % 4}", f"t{one % 7}"] for one in item]
    frame = {"user_id": user, "item_id": item, "rating": liked, "tags": tags, "stamp": np.arange(rows) + rows * seed}
    pl.DataFrame(frame).write_parquet(path)


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with their data sets: `monday/etl`, and `tuesday/etl`, which goes on from there."""
    base = tmp_path_factory.mktemp("week")
    even = [2 * one for one in range(SHARED)]
    for day, ids in (("monday", even), ("tuesday", [*even[1:], *range(1, 2 * SHARED, 2), 1000])):
        _write_day(base / f"{day}.parquet", ids=ids, seed=len(day))
        interactions = {"path": str(base / f"{day}.parquet")}
        roles = Roles(user="user_id", item="item_id", time="stamp")
        sources = Sources.model_validate({"interactions": interactions, "roles": roles})
        (base / day / "etl").mkdir(parents=True)
        start = base / "monday" / "etl" if day == "tuesday" else None
        prepare(sources, EtlSpec.model_validate(ETL), base / day / "etl", seed=0, start_from=start)
    return base


def _spec(model: Any, **more: Any) -> RetrieverSpec:
    optimizer = OptimizerSpec(rate=0.01, embedding_rate=0.1)
    settings = {"model": model, "epochs": 2, "batch_size": 64, "optimizer": optimizer, "monitor_k": 5, **more}
    return RetrieverSpec(**settings)


def _ranker_spec(**more: Any) -> RankerSpec:
    return RankerSpec(model=MlpSpec(embedding_dim=4, hidden=(8,)), epochs=2, batch_size=64, **more)


@pytest.fixture(scope="module")
def monday(week: Path) -> Path:
    """The run of Monday with a ranker and one generator in front; `_generator` trains others beside it."""
    dataset = Dataset(week / "monday" / "etl")
    train_ranker(dataset, _ranker_spec(keep_optimizer=True), _made(week / "monday/train/ranker"), seed=1, device=CPU)
    return week / "monday"


def _made(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def _generator(monday: Path, tmp_path: Path, model: Any, **more: Any) -> Path:
    """A run of Monday with another generator."""
    run = tmp_path / "monday"
    shutil.copytree(monday / "etl", run / "etl")
    out = _made(run / "train" / "retriever")
    train_retriever(Dataset(run / "etl"), _spec(model, **more), out, seed=1, device=CPU)
    return run


def _old_rows(week: Path, side: str) -> tuple[Tensor, Tensor]:
    """Numbers on Tuesday and on Monday of those that both days know."""
    files = (week / day / "etl" / "entities" / f"{side}.parquet" for day in ("monday", "tuesday"))
    source_N = Renumbered.between(*files).source_N
    there_N = (source_N != FRESH).nonzero().squeeze(1)
    return there_N, source_N[there_N]


def _answers(module: Towers | Scores, queries: Batch, items: Batch) -> Tensor:
    assert isinstance(module, Towers)
    with torch.inference_mode():
        found: Tensor = module.query(queries) @ module.item(items).T
    return found


def test_ids_of_users_lie_between_the_old_ones(week: Path) -> None:
    new, old = _old_rows(week, "users")
    assert len(old) == SHARED - 1
    assert (new != old).any()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.kind)
def test_known_users_and_items_score_as_yesterday(week: Path, monday: Path, tmp_path: Path, model: Any) -> None:
    earlier = load_retriever(_generator(monday, tmp_path, model) / "train" / "retriever")
    dataset, old_set = Dataset(week / "tuesday" / "etl"), Dataset(week / "monday" / "etl")
    start = Earlier(tmp_path / "monday", "retriever")
    training = _training(dataset, _spec(model), start)
    torch.manual_seed(5)
    module = model.build(training.sizes)
    begun = training._begun(module)
    (new_U, old_U), (new_I, old_I) = (_old_rows(week, side) for side in ("users", "items"))
    now = read_tables(dataset, training.sizes.user, training.sizes.item)
    before = read_tables(old_set, earlier.user_features, earlier.item_features)
    rows = torch.randint(len(new_I), (len(new_U), 3))
    histories = {day: Jagged.of(of[rows].tolist()) for day, of in (("now", new_I), ("before", old_I))}
    asked = replace(take(now.user, new_U), lists={**take(now.user, new_U).lists, HISTORY: histories["now"]})
    was = replace(take(before.user, old_U), lists={**take(before.user, old_U).lists, HISTORY: histories["before"]})
    found = _answers(module.eval(), asked, take(now.item, new_I))
    assert torch.equal(found, _answers(earlier.module, was, take(before.item, old_I)))
    assert found.unique().numel() > 1
    assert begun.learned


def _training(dataset: Dataset, spec: RetrieverSpec, start: Earlier) -> _Training:
    interactions = read_interactions(dataset)
    user, item = side_features(dataset, "user"), side_features(dataset, "item")
    sizes = Sizes(user, item, interactions.users, interactions.items)
    return _Training(dataset, interactions, sizes, spec, 0, CPU, start)


@pytest.mark.parametrize("kind", [kind for kind, one in RETRIEVERS.items() if issubclass(one, TrainedModel)])
def test_every_weight_with_a_row_a_user_or_an_item_is_declared(kind: str) -> None:
    model, ids = RETRIEVERS[kind](), Features(("id",), (5,), ())
    shapes = [
        {name: value.shape for name, value in model.build(Sizes(ids, ids, users, items)).state_dict().items()}
        for users, items in ((11, 13), (17, 19))
    ]
    apart = {name for name, shape in shapes[0].items() if shape != shapes[1][name]}
    assert apart == {name for name in model.entity_rows if name in shapes[0]}
    for name in apart:
        for (users, items), shape in zip(((11, 13), (17, 19)), (shapes[0][name], shapes[1][name]), strict=True):
            sizes = {"users": users, "items": items}
            assert shape[0] == sum(sizes[block.of] + block.more for block in model.entity_rows[name])


def test_a_ranker_scores_known_ids_as_yesterday(week: Path, monday: Path) -> None:
    earlier = load_ranker(monday / "train" / "ranker")
    old_set, dataset = (Dataset(week / day / "etl") for day in ("monday", "tuesday"))
    features = Features.of(dataset.schema())
    assert features.cardinalities > earlier.features.cardinalities
    torch.manual_seed(5)
    module = earlier.spec.model.build(features)
    begun_ranker(Earlier(monday, "ranker"), module, earlier.spec, features, dataset)
    batch = next(iter(Loader(old_set.files("test"), earlier.features, 50)))
    with torch.inference_mode():
        assert torch.equal(module.eval()(batch), earlier.module(batch))


def _table(module: torch.nn.Module) -> str:
    return next(name for name in module.state_dict() if name.endswith("table.weight"))


def test_who_is_not_there_today_stays_as_yesterday(week: Path, monday: Path, tmp_path: Path) -> None:
    # Item 2 * k that Tuesday's training split never shows must not fall back to an unknown one's vector.
    run = _generator(monday, tmp_path, MODELS[1])
    dataset = Dataset(tmp_path / "tuesday")
    shutil.copytree(week / "tuesday" / "etl", dataset.path)
    frame = pl.read_parquet(dataset.interactions_file)
    new_U, old_U = _old_rows(week, "users")
    gone = int(new_U[3])
    frame.filter((pl.col(USER_INDEX) != gone) | (pl.col(SPLIT) > 0)).write_parquet(dataset.interactions_file)
    out = _made(tmp_path / "out")
    settings = _spec(MODELS[1], start_from=StartSpec(run=str(run)), epochs=1)
    train_retriever(dataset, settings, out, seed=0, device=CPU)
    now, before = load_retriever(out), load_retriever(run / "train" / "retriever")
    vector, was = (one.towers.query.table.weight for one in (now, before))
    assert torch.equal(vector[gone], was[int(old_U[3])])
    assert not torch.equal(vector[gone], vector[-1])


KEEP = {"keep_optimizer": True, "average": AverageSpec(decay=0.9)}


@pytest.mark.parametrize("kind", ["adagrad", "adam"])
def test_killed_and_resumed_it_ends_the_same(
    week: Path, monday: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    optimizer = OptimizerSpec(rate=0.01, embedding=kind)
    run = _generator(monday, tmp_path, MODELS[4], **{**KEEP, "optimizer": optimizer})
    dataset, start = Dataset(week / "tuesday" / "etl"), StartSpec(run=str(run), optimizer=True)
    spec = _spec(
        MODELS[4], **{**KEEP, "optimizer": optimizer, "start_from": start, "checkpoint_seconds": 0.0, "batch_size": 8}
    )
    whole, broken = _made(tmp_path / "whole"), _made(tmp_path / "broken")
    train_retriever(dataset, spec, whole, seed=0, device=CPU)
    assert (whole / "optimizer.safetensors").exists()

    step, calls = train.trainer.Mover.step, iter([None] * 3)

    def killed(self: Any, number: int) -> None:
        if next(calls, "now") == "now":
            raise Killed
        step(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(train.trainer.Mover, "step", killed)
        with pytest.raises(Killed):
            train_retriever(dataset, spec, broken, seed=0, device=CPU)
    train_retriever(dataset, spec, broken, seed=0, device=CPU)
    assert _hashes(broken) == _hashes(whole)


def _hashes(out: Path) -> dict[str, str]:
    return {name: value for name, value in hash_tree(out).items() if not name.startswith("events")}


def test_the_memory_of_the_optimizer_moves_with_its_rows(week: Path, monday: Path, tmp_path: Path) -> None:
    run = _generator(monday, tmp_path, MODELS[1], keep_optimizer=True)
    dataset = Dataset(week / "tuesday" / "etl")
    training = _training(dataset, _spec(MODELS[1]), Earlier(run, "retriever", optimizer=True))
    begun = training._begun(MODELS[1].build(training.sizes))
    before = Earlier(run, "retriever", optimizer=True).memory()
    new_I, old_I = _old_rows(week, "items")
    key = "item.table.table.weight:accumulator"
    assert torch.equal(begun.memory[key][new_I], before[key][old_I])
    others = torch.ones(training.sizes.items, dtype=torch.bool).index_fill(0, new_I, value=False)
    assert others.any()
    assert not begun.memory[key][others].any()
    assert int(begun.memory[":steps"]) > 0


def test_a_changed_yesterday_is_another_training(week: Path, monday: Path, tmp_path: Path) -> None:
    run = tmp_path / "monday"
    shutil.copytree(monday, run)
    dataset, out = Dataset(week / "tuesday" / "etl"), _made(tmp_path / "out")
    spec = _ranker_spec(start_from=StartSpec(run="monday"))
    train_ranker(dataset, spec, out, seed=0, device=CPU, start_from=run)
    first = json.loads((out / "model.json").read_text())
    assert first["rows_taken_over"][_table(load_ranker(out).module)]["fresh"] > 0
    elsewhere = tmp_path / "elsewhere"
    shutil.move(run, elsewhere)
    stamp = (out / "model.json").stat().st_mtime_ns
    train_ranker(dataset, spec, out, seed=0, device=CPU, start_from=elsewhere)
    assert (out / "model.json").stat().st_mtime_ns == stamp, "where it lies does not count"
    train_ranker(Dataset(run.parent / "elsewhere/etl"), _ranker_spec(), elsewhere / "train/ranker", seed=9, device=CPU)
    train_ranker(dataset, spec, out, seed=0, device=CPU, start_from=elsewhere)
    assert json.loads((out / "model.json").read_text())["run"] != first["run"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": MlpSpec(embedding_dim=8, hidden=(8,))}, "embedding_dim is 8, it was 4"),
        ({"model": {"kind": "fm"}}, "the earlier model is a mlp, this one a fm"),
        ({"optimizer": {"embedding": "adam"}}, "moved embeddings by rowwise_adagrad, this one does by adam"),
    ],
)
def test_another_model_is_refused(week: Path, monday: Path, tmp_path: Path, change: Any, told: str) -> None:
    start = {"run": str(monday), "optimizer": True}
    spec = RankerSpec.model_validate({**_ranker_spec().model_dump(), "start_from": start, **change})
    with pytest.raises(UserError, match=told) as raised:
        train_ranker(Dataset(week / "tuesday" / "etl"), spec, _made(tmp_path / "out"), seed=0, device=CPU)
    assert raised.value.where == "train.ranker.start_from"
    assert raised.value.cure


def test_other_ids_are_refused(week: Path, monday: Path, tmp_path: Path) -> None:
    dataset = Dataset(tmp_path / "etl")
    shutil.copytree(week / "tuesday" / "etl", dataset.path)
    manifest = dataset.manifest()
    manifest["learned"]["earlier"] = None
    (dataset.path / "manifest.json").write_text(json.dumps(manifest))
    spec = _ranker_spec(start_from=StartSpec(run=str(monday)))
    with pytest.raises(UserError, match="other ids") as raised:
        train_ranker(dataset, spec, _made(tmp_path / "out"), seed=0, device=CPU)
    assert "etl.start_from" in str(raised.value.cure)


def test_a_memory_that_was_not_kept_is_told(week: Path, monday: Path, tmp_path: Path) -> None:
    run = _generator(monday, tmp_path, MODELS[1])
    spec = _spec(MODELS[1], start_from=StartSpec(run=str(run), optimizer=True))
    with pytest.raises(UserError, match="has not kept the memory") as raised:
        train_retriever(Dataset(week / "tuesday" / "etl"), spec, _made(tmp_path / "out"), seed=0, device=CPU)
    assert "keep_optimizer" in str(raised.value.cure)


@pytest.mark.parametrize("setting", [{"start_from": "monday"}, {"keep_optimizer": True}])
def test_what_is_counted_has_no_start(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="popularity is counted from the data at hand"):
        RetrieverSpec.model_validate({"model": {"kind": "popularity"}, **setting})
