"""Every registered model goes through the bundle: ONNX from raw columns = torch over the transformed ones."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch

from core.dataset import ITEM_INDEX, USER_INDEX, Dataset
from core.errors import UserError
from etl.fitted import Fitted
from serve.app import make_app
from serve.bundle import Bundle
from serve.parts import Parts, require_served
from serve.recommend import Recommender
from serve.verify import verify
from tests.serve import planted
from tests.serve.asgi import ask
from train.batch import Features
from train.histories import END, Histories
from train.models import RANKERS, RETRIEVERS
from train.models.behaviour import BEHAVIOUR
from train.models.retrieve.base import Sizes
from train.models.retrieve.ease import EaseSpec
from train.models.retrieve.item_item import DenseItems, SparseItems
from train.pairs import read_interactions, read_tables, take
from train.retriever import Retriever, queries_at
from train.spec import RetrieverSpec


def fresh(kind: str, fitted: Fitted) -> Retriever:
    """A candidate generator with fresh weights."""
    user, item = (Features.of(fitted.schema.select(tag)) for tag in (planted.Tag.USER, planted.Tag.ITEM))
    sizes = Sizes(user, item, users=planted.USERS, items=planted.ITEMS)
    spec = RetrieverSpec.model_validate({"model": {"kind": kind}})
    torch.manual_seed(3)
    module = spec.model.build(sizes).eval()
    with torch.no_grad():  # some models start at zero, or so small that every vector is nearly the same
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.randn_like(tensor))
    if isinstance(module, SparseItems):  # whole numbers: many items have the same score
        near_IN = torch.stack([torch.randperm(sizes.items)[: module.neighbours] for _ in range(sizes.items)])
        module.hold(near_IN, torch.randint(-2, 3, near_IN.shape).float())
    return Retriever(module, sizes, spec)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Fitted]:
    return planted.dataset(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("kind", sorted(RANKERS.keys() - BEHAVIOUR.keys()))
def test_every_ranker(data: tuple[Dataset, Fitted], kind: str, tmp_path: Path) -> None:
    dataset, fitted = data
    features = Features.of(fitted.schema)
    torch.manual_seed(3)
    module = RANKERS[kind].model_validate({"kind": kind}).build(features).eval()
    with torch.no_grad():  # some models start at zero, where every score is one half
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    path = planted.bundle(tmp_path, Parts(dataset, fitted, planted.Ranker(module, features), None))
    found = verify(path)
    assert found.ok
    assert found.largest_difference < 2e-6


@pytest.mark.parametrize("kind", sorted(RETRIEVERS))
def test_every_retriever(data: tuple[Dataset, Fitted], kind: str, tmp_path: Path) -> None:
    dataset, fitted = data
    retriever = fresh(kind, fitted)
    path = planted.bundle(tmp_path, Parts(dataset, fitted, None, retriever))
    found = verify(path)
    assert found.ok
    assert found.largest_difference < 1e-5
    require_served(retriever.spec.model, retriever.module)
    recommender = Recommender(Bundle.open(path))
    tables = read_tables(dataset, retriever.user_features, retriever.item_features)
    queries = queries_at(tables.user, Histories.of(read_interactions(dataset)), END)
    for user in (3, 7):
        # What the bundle shows is what the module ranks first, of what the user has not met.
        seen = planted.seen().filter(pl.col(USER_INDEX) == user)[ITEM_INDEX].to_list()
        scorer = retriever.scorer(take(queries, torch.tensor([user])), tables.item)
        ranked = scorer.best(planted.ITEMS, torch.tensor([user]), None)[0].tolist()
        wanted = [row for row in ranked if row not in seen][:5]
        shown = [item.id for item in recommender.recommend(100 + user, k=5).items]
        assert shown == [f"i{row:02}" for row in wanted]
    assert len(recommender.recommend(999, k=5).items) == 5
    assert len(recommender.recommend(None, k=5).items) == 5


def test_a_matrix_that_is_too_large_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.parts.LARGEST", 4 * 39 * 40)
    require_served(EaseSpec(), SparseItems(40, 30))
    require_served(EaseSpec(), DenseItems(39))
    with pytest.raises(UserError, match="ease has 40 times 40 numbers.*neighbours: 1000"):
        require_served(EaseSpec(), DenseItems(40))


def test_scores_of_all_items_take_bounded_room(
    data: tuple[Dataset, Fitted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.golden.ROOM", 7 * planted.ITEMS)
    dataset, fitted = data
    path = planted.bundle(tmp_path, Parts(dataset, fitted, None, fresh("ease", fitted)))
    golden = Bundle.open(path).table("golden.parquet")
    assert (len(golden), golden["__scores__"].null_count()) == (50, 43)
    assert not (path / "index.faiss").exists()
    assert verify(path).largest_difference == 0.0
    _scores_over_http(path, monkeypatch)


def _scores_over_http(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(Bundle.open(path))
    described = ask(app, "GET", "/v2/models/retriever").json
    assert [one["name"] for one in described["inputs"]] == ["history__values", "history__offsets"]
    assert described["outputs"] == [{"name": "scores", "datatype": "FP32", "shape": [-1, planted.ITEMS]}]
    values = {"name": "history__values", "datatype": "BYTES", "shape": [3], "data": ["i01", "i07", "i01"]}
    offsets = {"name": "history__offsets", "datatype": "INT64", "shape": [3], "data": [0, 3, 3]}
    asked = {"inputs": [values, offsets]}
    (output,) = ask(app, "POST", "/v2/models/retriever/infer", asked).json["outputs"]
    assert output["shape"] == [2, planted.ITEMS]
    met, nothing = output["data"][: planted.ITEMS], output["data"][planted.ITEMS :]
    assert nothing == [0.0] * planted.ITEMS
    shown = ask(app, "GET", "/recommend?history=i01,i07&k=5").json["items"]
    ranked = sorted((row for row in range(planted.ITEMS) if row not in {1, 7}), key=lambda row: (-met[row], row))
    assert [item["id"] for item in shown] == [f"i{row:02}" for row in ranked[:5]]
    monkeypatch.setattr("serve.service.MOST", 2 * planted.ITEMS - 1)
    refused = ask(app, "POST", "/v2/models/retriever/infer", asked)
    assert refused.status == 400
    assert "2 rows of 40 numbers" in refused.json["error"]


def test_a_history_that_is_given_replaces_the_known_one(data: tuple[Dataset, Fitted], tmp_path: Path) -> None:
    dataset, fitted = data
    path = planted.bundle(tmp_path, Parts(dataset, fitted, None, fresh("mult_vae", fitted)))
    recommender = Recommender(Bundle.open(path))

    def shown(history: list[str] | None, user: int | None = None) -> list[tuple[object, float]]:
        features = {} if history is None else {"history": history}
        return [(item.id, item.score) for item in recommender.recommend(user, features, k=5).items]

    assert shown(["i01", "i02"]) != shown(["i07"])
    assert shown(["i01", "i02"]) == shown(["i01", "no such item", "i02"])
    every = recommender.recommend(None, {"history": ["i01", "i02"]}, k=planted.ITEMS).items
    assert {item.id for item in every} == {f"i{row:02}" for row in range(planted.ITEMS)} - {"i01", "i02"}
    assert shown([]) == shown(None) == shown(["no such item"])
    assert shown(None, user=103) != shown([], user=103)
    with pytest.raises(UserError, match="history.*must be a list"):
        shown("i01")
