"""Every registered model goes through the bundle: ONNX from raw columns = torch over the transformed ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.dataset import Dataset
from core.errors import UserError
from core.spec import Spec
from etl.fitted import Fitted
from serve.parts import Parts, require_served
from serve.verify import verify
from tests.serve import planted
from train.batch import Batch, Features
from train.models import RANKERS, RETRIEVERS
from train.models.retrieve.base import Sizes, Towers
from train.retriever import vectors

NOT_SERVED: frozenset[str] = frozenset({"ease", "ials", "item_knn"})
"""Kinds of candidate generators that `serve.parts.require_served` refuses."""


@dataclass(frozen=True)
class Retriever:
    """Fresh towers, as a trained retriever holds them."""

    towers: Towers
    user_features: Features
    item_features: Features
    spec: Spec = planted.SPEC

    @property
    def query_module(self) -> nn.Module:
        return self.towers.query

    def user_vectors(self, users: Batch) -> Tensor:
        return vectors(self.towers.query, users)

    def item_vectors(self, items: Batch) -> Tensor:
        return vectors(self.towers.item, items)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Fitted]:
    return planted.dataset(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("kind", RANKERS)
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


@pytest.mark.parametrize("kind", sorted(RETRIEVERS.keys() - NOT_SERVED))
def test_every_retriever(data: tuple[Dataset, Fitted], kind: str, tmp_path: Path) -> None:
    dataset, fitted = data
    user, item = (Features.of(fitted.schema.select(tag)) for tag in (planted.Tag.USER, planted.Tag.ITEM))
    sizes = Sizes(user, item, users=len(planted.users()), items=planted.ITEMS)
    torch.manual_seed(3)
    towers = RETRIEVERS[kind].model_validate({"kind": kind}).build(sizes).eval()
    path = planted.bundle(tmp_path, Parts(dataset, fitted, None, Retriever(towers, user, item)))
    assert verify(path).ok


@pytest.mark.parametrize("kind", RETRIEVERS)
def test_what_is_not_served_is_refused_by_name(kind: str) -> None:
    model = RETRIEVERS[kind].model_validate({"kind": kind})
    if kind not in NOT_SERVED:
        require_served(model)
        return
    with pytest.raises(UserError, match=f"query of {kind} reads the .*--until evaluate"):
        require_served(model)
