"""LightGCN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from core.dataset import Dataset
from tests.contract.retrievers import RetrieverContract
from tests.train.retrieve.trained import facts_of, recall_by_heart, recall_of_clubs
from train.losses.catalogue import SampledSoftmaxLoss
from train.models.retrieve.lightgcn import Adjacency, Graph, LightGcnSpec, Spread
from train.negatives.drawn import UniformNegatives
from train.pairs import ENTITY
from train.spec import OptimizerSpec

FAST = OptimizerSpec(rate=0.05)


class TestLightGcn(RetrieverContract, model=LightGcnSpec(embedding_dim=8)):
    """As in the paper."""


class TestUnitLightGcn(
    RetrieverContract,
    model=LightGcnSpec(
        embedding_dim=8,
        layers=2,
        l2=0.0,
        unit=True,
        loss=SampledSoftmaxLoss(temperature=0.2),
        negatives=UniformNegatives(count=16, shared=True),
    ),
):
    """Cosine similarity, one sample of negatives a batch."""


def connected(model: LightGcnSpec) -> tuple[Graph, np.ndarray]:
    """A graph over 7 users, one of them without items, and 5 items; and who likes what, dense."""
    torch.manual_seed(0)
    user_P, item_P = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 6, 6, 0]), torch.tensor([0, 1, 1, 2, 3, 0, 3, 3, 1, 2, 1])
    facts, sizes = facts_of(user_P, item_P, users=7, items=5)
    module = model.build(sizes)
    assert isinstance(module, Graph)
    model.objective(module, facts)
    table_UI = np.zeros((7, 5))
    table_UI[user_P, item_P] = 1  # the last pair comes twice and counts once
    return module, table_UI


def dense(fresh_NV: np.ndarray, table_UI: np.ndarray, layers: int) -> np.ndarray:
    """The mean of the layers by dense products."""
    users, items = table_UI.shape
    joint = np.block([[np.zeros((users, users)), table_UI], [table_UI.T, np.zeros((items, items))]])
    scale = 1 / np.sqrt(np.maximum(joint.sum(1), 1))
    joint = scale[:, None] * joint * scale
    every = [fresh_NV]
    for _ in range(layers):
        every.append(joint @ every[-1])
    return np.mean(every, axis=0)


def test_vectors_are_spread_as_by_a_dense_product() -> None:
    module, table_UI = connected(LightGcnSpec(embedding_dim=4))
    expected_NV = dense(module.fresh_NV.detach().numpy().astype(np.float64), table_UI, 3)
    found_NV = torch.cat(module.spread()).detach().numpy()
    np.testing.assert_allclose(found_NV, expected_NV, atol=1e-6)


def test_the_gradient_of_a_spread_is_that_of_the_dense_product() -> None:
    module, _ = connected(LightGcnSpec(embedding_dim=4))
    assert module.adjacency is not None
    sparse = module.adjacency
    vector_NV = torch.randn(12, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: Spread.apply(sparse, x), vector_NV)
    weight_NV = torch.randn(12, 3, dtype=torch.float64)
    (Spread.apply(sparse, vector_NV) * weight_NV).sum().backward()
    assert torch.allclose(vector_NV.grad, (sparse @ torch.eye(12, dtype=torch.float64)).T @ weight_NV)


def test_settled_vectors_are_the_spread_ones_and_strangers_get_their_mean() -> None:
    module, _ = connected(LightGcnSpec(embedding_dim=4))
    module.settle()
    user_UV, item_IV = (side.detach() for side in module.spread())
    assert torch.equal(module.item.vector_NV, item_IV)
    known = [0, 1, 2, 3, 4, 6]
    assert torch.equal(module.query.vector_NV[known], user_UV[known])
    assert torch.allclose(module.query.vector_NV[[5, 7]], user_UV[known].mean(0).expand(2, -1), atol=1e-7)


def test_unit_vectors_are_spread_first_and_scaled_where_they_are_used() -> None:
    facts, sizes = facts_of(torch.tensor([0, 1]), torch.tensor([2, 0]), users=2, items=3)
    model = LightGcnSpec(embedding_dim=4, l2=0.0, unit=True)
    torch.manual_seed(0)
    module = model.build(sizes)
    assert isinstance(module, Graph)
    loss, batch = model.objective(module, facts), next(iter(model.batches(facts, batch_size=2, seed=0).epoch(0)))
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        found.append(loss(batch).item())
        module.settle()
        lengths = torch.cat([module.query.vector_NV[:-1], module.item.vector_NV]).norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones(5))
        with torch.no_grad():
            module.fresh_NV.mul_(3.0)
    assert np.isclose(*found)


def test_the_penalty_is_on_unspread_vectors_of_the_batch() -> None:
    facts, sizes = facts_of(torch.tensor([0, 1]), torch.tensor([2, 0]), users=2, items=3)
    found = []
    for l2 in (0.0, 0.5):
        model = LightGcnSpec(embedding_dim=4, l2=l2)
        torch.manual_seed(0)
        module = model.build(sizes)
        loss = model.objective(module, facts)
        found.append(loss(next(iter(model.batches(facts, batch_size=2, seed=0).epoch(0)))).item())
    length = module.fresh_NV.detach()[[0, 1, 2, 4]].square().sum().item()
    assert np.isclose(found[1] - found[0], 0.5 * length / 2 / 2, atol=1e-6)


def test_64_pairs_are_learned_by_heart() -> None:
    assert recall_by_heart(LightGcnSpec(embedding_dim=16), steps=150, optimizer=FAST) == 1.0


def test_members_are_given_their_clubs(clubs: Dataset, tmp_path: Path) -> None:
    model = LightGcnSpec(embedding_dim=8, negatives=UniformNegatives(count=4))
    assert recall_of_clubs(model, clubs, tmp_path / "out", optimizer=FAST) > 0.9


def test_a_graph_is_symmetric_and_its_rows_are_sorted() -> None:
    module, table_UI = connected(LightGcnSpec())
    assert module.adjacency is not None
    found_NN = module.adjacency @ torch.eye(12)
    assert torch.equal(found_NN, found_NN.T)
    assert int((found_NN > 0).sum()) == 2 * int(table_UI.sum())
    facts, _ = facts_of(torch.tensor([0]), torch.tensor([0]), users=1, items=1)
    assert (Adjacency.of(facts.positives) @ torch.eye(2)).tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert ENTITY in facts.tables.user.extra
