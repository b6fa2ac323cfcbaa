"""Models that read lists of ids as they are: from raw lists in a bundle to scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.dataset import Dataset
from etl.fitted import Fitted
from etl.ops import Categorify
from etl.workflow import Workflow
from serve.bundle import RANKER, Bundle
from serve.lists import rows_of
from serve.parts import Parts
from serve.recommend import Recommender
from serve.verify import verify
from tests.serve import planted
from tests.serve.test_lists import TAGS, items, users, write_data
from tests.serve.test_models_export import fresh
from train.batch import Features
from train.models import RANKERS, RETRIEVERS
from train.models.behaviour import BEHAVIOUR


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Fitted]:
    pairs = planted.seen()
    rows = users()[pairs["__user__"]].hstack(items().drop("title")[pairs["__item__"]])
    ids, lists = ["user_id", "item_id"] >> Categorify(), ["tags", "years"] >> Categorify()
    fitted = Workflow(ids, lists, tags=TAGS).fit(rows)
    return write_data(tmp_path_factory.mktemp("lists") / "data", fitted, rows), fitted


def ranker_of(data: tuple[Dataset, Fitted], kind: str, path: Path) -> Bundle:
    dataset, fitted = data
    features = Features.of(fitted.schema)
    assert [one.name for one in features.lists] == ["tags", "years"]
    torch.manual_seed(3)
    module = RANKERS[kind].model_validate({"kind": kind}).build(features).eval()
    with torch.no_grad():  # some models start at zero, where every score is one half
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return Bundle.open(planted.bundle(path, Parts(dataset, fitted, planted.Ranker(module, features), None)))


@pytest.mark.parametrize("kind", sorted(RANKERS.keys() - BEHAVIOUR.keys()))
def test_every_ranker(data: tuple[Dataset, Fitted], kind: str, tmp_path: Path) -> None:
    bundle = ranker_of(data, kind, tmp_path)
    found = verify(bundle.path)
    assert found.ok
    assert found.largest_difference < 2e-6


@pytest.mark.parametrize("kind", sorted(RETRIEVERS))
def test_every_retriever(data: tuple[Dataset, Fitted], kind: str, tmp_path: Path) -> None:
    dataset, fitted = data
    path = planted.bundle(tmp_path, Parts(dataset, fitted, None, fresh(kind, fitted)))
    assert verify(path).ok
    assert len(Recommender(Bundle.open(path)).recommend(103, k=5).items) == 5


def test_a_list_of_the_user_counts_for_every_item(data: tuple[Dataset, Fitted], tmp_path: Path) -> None:
    model = ranker_of(data, "mlp", tmp_path).model(RANKER)
    table = items()
    years = rows_of([np.array(one if one is not None else [], np.int64) for one in table["years"].to_list()])
    item = {"item_id": table["item_id"].to_numpy().astype(object), "years": years}
    one = {"user_id": np.array([103]), "tags": rows_of([np.array(["a", "b", "a"], object)])}
    every = {"user_id": np.repeat(103, len(table)), "tags": rows_of([one["tags"][0]] * len(table))}
    scores = model.run({**one, **item})
    assert scores.shape == (len(table),)
    assert len(np.unique(scores)) > 1
    np.testing.assert_allclose(scores, model.run({**every, **item}), rtol=1e-6)
    other = model.run({**one, **item, "tags": rows_of([np.array(["c"], object)])})
    assert np.abs(other - scores).max() > 1e-6
    nothing = model.run({**one, **item, "tags": rows_of([np.array([], object)])})
    assert np.isfinite(nothing).all()
