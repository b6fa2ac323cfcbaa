"""Matrix factorisation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.dataset import Dataset
from tests.contract.retrievers import RetrieverContract
from tests.train.retrieve.trained import facts_of, recall_by_heart, recall_of_clubs
from train.batch import Batch
from train.losses.catalogue import CATALOGUE_LOSSES, CatalogueLoss, SampledSoftmaxLoss
from train.models.retrieve.mf import MfSpec
from train.negatives import NEGATIVES
from train.negatives.base import NegativeSpec
from train.negatives.drawn import MixedNegatives, PopularityNegatives, UniformNegatives
from train.pairs import ENTITY
from train.spec import OptimizerSpec

FAST = OptimizerSpec(rate=0.05, embedding="adam", embedding_rate=0.05)


class TestMf(RetrieverContract, model=MfSpec(embedding_dim=8)):
    """BPR with one negative."""


class TestSharedMf(
    RetrieverContract,
    model=MfSpec(
        embedding_dim=8, unit=True, loss=SampledSoftmaxLoss(temperature=0.2), negatives=MixedNegatives(count=16)
    ),
):
    """Cosine similarity, negatives of the whole batch."""


@pytest.mark.parametrize("loss", [one() for one in CATALOGUE_LOSSES.values()], ids=str)
@pytest.mark.parametrize(
    "negatives",
    [
        UniformNegatives(count=4),
        UniformNegatives(count=20, shared=True),
        PopularityNegatives(count=4),
        MixedNegatives(),
    ],
    ids=str,
)
def test_64_pairs_are_learned_by_heart(loss: CatalogueLoss, negatives: NegativeSpec) -> None:
    model = MfSpec(embedding_dim=16, loss=loss, negatives=negatives)
    assert recall_by_heart(model, steps=150, optimizer=FAST) == 1.0


def test_members_are_given_their_clubs(clubs: Dataset, tmp_path: Path) -> None:
    model = MfSpec(embedding_dim=8, negatives=UniformNegatives(count=4))
    assert recall_of_clubs(model, clubs, tmp_path / "out", optimizer=FAST) > 0.9


def test_somebody_new_gets_the_mean_of_those_who_were_trained_on() -> None:
    facts, sizes = facts_of(torch.tensor([0, 2]), torch.tensor([1, 3]), users=4, items=5)
    model = MfSpec(embedding_dim=3)
    module = model.build(sizes)
    fresh_UV = module.query.table.weight.detach().clone()
    model.objective(module, facts)
    module.settle()
    found_UV = module.query(Batch(torch.zeros(5, 0), torch.zeros(5, 0), extra={ENTITY: torch.arange(5)}))
    mean_V = (fresh_UV[0] + fresh_UV[2]) / 2
    assert torch.allclose(found_UV[[1, 3, 4]], mean_V.expand(3, -1))
    assert torch.equal(found_UV[[0, 2]], fresh_UV[[0, 2]])


def test_settings_are_read_by_name() -> None:
    told = {"loss": {"kind": "gbce", "calibration": 0.5}, "negatives": {"kind": "uniform", "count": 3}}
    model = MfSpec.model_validate(told)
    assert model.loss == CATALOGUE_LOSSES["gbce"](calibration=0.5)
    assert model.negatives == NEGATIVES["uniform"](count=3)
    assert MfSpec.model_validate(model.model_dump()) == model
    with pytest.raises(ValueError, match="there is no sampler of negatives 'unifrom'.*uniform"):
        MfSpec.model_validate({"negatives": "unifrom"})
