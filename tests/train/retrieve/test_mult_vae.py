"""Mult-VAE and Mult-DAE."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from core.dataset import Dataset
from tests.contract.retrievers import RetrieverContract
from tests.train.retrieve.trained import facts_of, recall_by_heart, recall_of_clubs
from train.batch import Batch
from train.histories import HISTORY
from train.jagged import Jagged
from train.models.retrieve.mult_vae import Autoencoder, MultVaeSpec, divergence, multinomial
from train.models.retrieve.users import UserLoader
from train.spec import OptimizerSpec, RetrieverSpec

FAST = OptimizerSpec(rate=0.01, embedding="adam", embedding_rate=0.01)
SMALL = {"hidden": 16, "latent": 8}


class TestMultVae(RetrieverContract, model=MultVaeSpec(**SMALL, anneal=10)):
    """With noise."""

    @property
    def spec(self) -> RetrieverSpec:
        """A batch is of users, and there are 60."""
        return super().spec.model_copy(update={"batch_size": 12})


class TestMultDae(TestMultVae, model=MultVaeSpec(**SMALL, variational=False)):
    """Without."""


def test_the_divergence_is_the_closed_form() -> None:
    torch.manual_seed(0)
    mean_BZ, log_variance_BZ = torch.randn(5, 3), torch.randn(5, 3)
    told = kl_divergence(Normal(mean_BZ, (0.5 * log_variance_BZ).exp()), Normal(0.0, 1.0)).sum(1).mean()
    assert torch.allclose(divergence(mean_BZ, log_variance_BZ), told, atol=1e-6)
    assert divergence(torch.zeros(2, 3), torch.zeros(2, 3)) == 0.0


def test_the_likelihood_is_that_of_dense_counts() -> None:
    torch.manual_seed(0)
    score_BI, wanted = torch.randn(3, 6, dtype=torch.float64, requires_grad=True), Jagged.of([[0, 5, 5], [], [2]])
    count_BI = torch.zeros(3, 6, dtype=torch.float64)
    count_BI[0, 0], count_BI[0, 5], count_BI[2, 2] = 1, 2, 1
    told = -(torch.log_softmax(score_BI, 1) * count_BI).sum() / 3
    found = multinomial(score_BI, wanted)
    assert torch.allclose(found, told)
    assert torch.allclose(*(torch.autograd.grad(one, score_BI)[0] for one in (found, told)))


def test_the_input_is_the_dense_one_of_length_one() -> None:
    _, sizes = facts_of(torch.tensor([0]), torch.tensor([0]), users=1, items=6)
    module = MultVaeSpec(**SMALL).build(sizes).eval()
    assert isinstance(module, Autoencoder)
    input_BI = torch.zeros(3, 6)
    input_BI[0, [1, 4]], input_BI[2, 3] = 0.5**0.5, 1.0
    encoder = module.query.encoder
    told = encoder.out(torch.tanh(input_BI @ encoder.table.weight + encoder.bias_H))
    assert torch.allclose(encoder(Jagged.of([[4, 1], [], [3]])), told, atol=1e-6)


def test_vectors_score_as_the_decoder_does() -> None:
    facts, sizes = facts_of(torch.tensor([0, 1]), torch.tensor([0, 4]), users=2, items=6)
    module = MultVaeSpec(**SMALL).build(sizes).eval()
    torch.nn.init.normal_(module.item.out.bias)
    history = Jagged.of([[4, 1], []])
    query = Batch(torch.zeros(2, 0), torch.zeros(2, 0), lists={HISTORY: history})
    told = module.item.scores(module.query.decoded(module.query.encoded(history)[0]))
    assert torch.allclose(module.query(query) @ module.item(facts.tables.item).T, told, atol=1e-6)


def test_the_weight_of_the_divergence_rises_up_to_beta_and_is_kept_in_checkpoints() -> None:
    facts, sizes = facts_of(torch.arange(4), torch.arange(4), users=4, items=6)
    found = {}
    for updates, beta in ((0, 0.0), (0, 1.0), (4, 1.0), (100, 1.0), (100, 0.3)):
        model = MultVaeSpec(**SMALL, anneal=10, beta=beta, dropout=0.0)
        torch.manual_seed(0)
        module = model.build(sizes)
        module.updates.fill_(updates)
        loss = model.objective(module, facts)
        found[updates, beta] = loss(next(iter(model.batches(facts, batch_size=4, seed=0).epoch(0)))).item()
        assert module.state_dict()["updates"] == updates + 1
    with torch.no_grad():
        batch = next(iter(model.batches(facts, batch_size=4, seed=0).epoch(0)))
        apart = divergence(*module.query.encoded(batch.lists[HISTORY])).item()
    bare = found[0, 0.0]
    more = [found[key] - bare for key in ((0, 1.0), (4, 1.0), (100, 1.0), (100, 0.3))]
    assert more == pytest.approx([0.1 * apart, 0.5 * apart, apart, 0.3 * apart], abs=1e-4)


def test_every_user_who_liked_something_comes_once_an_epoch() -> None:
    histories = Jagged.of([[n] * (n % 4) for n in range(30)])
    loader = UserLoader(histories, 4, seed=0)
    orders = []
    for epoch in range(2):
        lists = [batch.lists[HISTORY] for batch in loader.epoch(epoch)]
        assert len(lists) == loader.steps
        orders.append([user for one in lists for user in one.values_J[one.offsets_B1[:-1]].tolist()])
        assert sorted(orders[-1]) == [n for n in range(30) if n % 4]
    assert orders[0] != orders[1]
    later = [batch.lists[HISTORY].values_J.tolist() for batch in loader.epoch(1, 3)]
    assert later == [batch.lists[HISTORY].values_J.tolist() for batch in loader.epoch(1)][3:]


@pytest.mark.parametrize("variational", [True, False])
def test_64_pairs_are_learned_by_heart(*, variational: bool) -> None:
    model = MultVaeSpec(hidden=32, latent=16, variational=variational, beta=0.01)
    assert recall_by_heart(model, steps=300, optimizer=FAST) == 1.0


@pytest.mark.parametrize("variational", [True, False])
def test_members_are_given_their_clubs(clubs: Dataset, tmp_path: Path, *, variational: bool) -> None:
    model = MultVaeSpec(**SMALL, variational=variational, anneal=100)
    assert recall_of_clubs(model, clubs, tmp_path / "out", optimizer=FAST, epochs=60) > 0.9
