"""Negatives: never what the user likes, drawn by the stated law; and the losses over them, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from train.losses.catalogue import CATALOGUE_LOSSES, Scored, catalogue_loss
from train.losses.pairwise import bce, bpr, softmax
from train.negatives import NEGATIVES, InBatchNegatives, MixedNegatives, PopularityNegatives, UniformNegatives
from train.negatives.base import Drawn, NegativeSpec
from train.pairs import Pairs

USERS, ITEMS = 40, 30
KINDS = [
    UniformNegatives(count=5),
    UniformNegatives(count=20, shared=True),
    PopularityNegatives(count=5, power=1.0),
    PopularityNegatives(count=20, shared=True),
    InBatchNegatives(),
    MixedNegatives(count=10),
]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def pairs() -> Pairs:
    """Users 0 to 37 like 8 items each, low numbers more often; 38 likes all, 39 nothing. Item 29 only 38 likes."""
    weight_I = 1.0 / torch.arange(1, ITEMS)
    item = torch.stack([torch.multinomial(weight_I, 8) for _ in range(USERS - 2)])
    user_P = torch.cat([torch.arange(USERS - 2).repeat_interleave(8), torch.full((ITEMS,), USERS - 2)])
    return Pairs(user_P, torch.cat([item.flatten(), torch.arange(ITEMS)]), users=USERS, items=ITEMS)


def liked_UI(known: Pairs) -> Tensor:
    """Who likes what, dense."""
    table_UI = torch.zeros(USERS, ITEMS, dtype=torch.bool)
    table_UI[known.user_P, known.item_P] = True
    return table_UI


def items_BN(drawn: Drawn) -> Tensor:
    """Shared items once for each pair."""
    return drawn.item.expand(drawn.wrong_BN.shape)


@pytest.mark.parametrize("spec", KINDS, ids=str)
def test_what_the_user_likes_never_counts(spec: NegativeSpec) -> None:
    known = pairs()
    table_UI, sampler = liked_UI(known), spec.sampler(known)
    counted = 0
    while counted < 100_000:
        chosen = torch.randint(len(known.user_P), (512,))
        user_B = known.user_P[chosen]
        drawn = sampler(user_B, known.item_P[chosen])
        item_BN = items_BN(drawn)
        assert int(item_BN.min()) >= 0
        assert int(item_BN.max()) < ITEMS
        likes_BN = table_UI[user_B.unsqueeze(1), item_BN]
        shared = drawn.item.dim() == 1
        # Exactly those: a shared negative is masked for who likes it, and for nobody else.
        assert not (likes_BN & ~drawn.wrong_BN).any()
        assert not (shared and (drawn.wrong_BN & ~likes_BN).any())
        counted += int((~drawn.wrong_BN).sum())


@pytest.mark.parametrize("spec", KINDS, ids=str)
def test_who_likes_everything_has_no_negative(spec: NegativeSpec) -> None:
    known = pairs()
    user_B = torch.full((4,), USERS - 2)
    assert spec.sampler(known)(user_B, torch.arange(4)).wrong_BN.all()


def law(spec: NegativeSpec, known: Pairs) -> Tensor:
    """The chance of each item in one draw, from its definition."""
    if spec.kind == "uniform":
        return torch.full((ITEMS,), 1.0 / ITEMS, dtype=torch.float64)
    weight_I = torch.bincount(known.item_P, minlength=ITEMS).double() ** spec.model_dump()["power"]
    return weight_I / weight_I.sum()


@pytest.mark.parametrize(
    "spec", [UniformNegatives(count=5), PopularityNegatives(count=5, power=1.0), PopularityNegatives(count=5)], ids=str
)
@pytest.mark.parametrize("user", [3, USERS - 1])
def test_own_negatives_follow_the_law_among_what_is_not_liked(spec: NegativeSpec, user: int) -> None:
    known = pairs()
    item_BN = spec.sampler(known)(torch.full((8000,), user), torch.zeros(8000, dtype=torch.int64)).item
    chance_I = law(spec, known) * ~liked_UI(known)[user]
    there = chance_I > 0
    expected_I = chance_I / chance_I.sum() * item_BN.numel()
    found_I = torch.bincount(item_BN.flatten(), minlength=ITEMS)
    assert int(found_I[~there].sum()) == 0
    assert chisquare(found_I[there].numpy(), expected_I[there].numpy()).pvalue > 1e-3


@pytest.mark.parametrize("spec", KINDS[:1] + KINDS[2:3], ids=str)
def test_the_log_chance_of_own_negatives_is_what_is_simulated(spec: NegativeSpec) -> None:
    known, rows = pairs(), 20_000
    own_B = torch.arange(rows) % ITEMS
    drawn = spec.sampler(known)(torch.full((rows,), USERS - 1), own_B)  # who likes nothing: nothing is left out
    often_I = torch.bincount(drawn.item.flatten(), minlength=ITEMS) / rows
    assert torch.allclose(drawn.own_log_chance_B.exp()[:ITEMS], often_I, atol=0.015)
    assert torch.equal(drawn.log_chance, drawn.own_log_chance_B[drawn.item])


@pytest.mark.parametrize("spec", [KINDS[1], *KINDS[3:]], ids=str)
def test_the_log_chance_of_shared_negatives_is_what_is_simulated(spec: NegativeSpec) -> None:
    known, rounds = pairs(), 1500
    sampler, often_I = spec.sampler(known), torch.zeros(ITEMS)
    told_I = torch.full((ITEMS,), -torch.inf)
    for _ in range(rounds):
        chosen = torch.randint(len(known.user_P), (16,))
        drawn = sampler(known.user_P[chosen], known.item_P[chosen])
        assert len(drawn.item.unique()) == len(drawn.item)
        often_I[drawn.item] += 1 / rounds
        told_I[drawn.item] = drawn.log_chance
    assert torch.allclose(told_I.exp(), often_I, atol=0.045)


def test_every_sampler_and_loss_is_tested() -> None:
    assert {spec.kind for spec in KINDS} == set(NEGATIVES)
    assert set(CATALOGUE_LOSSES) == {"bpr", "sampled_softmax", "bce", "gbce"}


def test_the_gradient_of_bpr_by_hand() -> None:
    # -log s(own - other): d/d other = s(other - own) = -d/d own, over two pairs and the negatives of each.
    own_B = torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)
    other_BN = torch.tensor([[0.2, 2.0], [0.3, 0.0]], dtype=torch.float64, requires_grad=True)
    wrong_BN = torch.tensor([[False, False], [True, False]])
    bpr(own_B, other_BN, wrong_BN).backward()

    def s(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    expected_BN = [[s(-0.3) / 4, s(1.5) / 4], [0.0, s(1.0) / 2]]
    assert torch.allclose(other_BN.grad, torch.tensor(expected_BN, dtype=torch.float64))
    assert torch.allclose(own_B.grad, -torch.tensor(expected_BN, dtype=torch.float64).sum(1))


def test_losses_by_hand() -> None:
    own_B, other_BN = torch.tensor([1.0]), torch.tensor([[0.0, 2.0, 9.0]])
    wrong_BN = torch.tensor([[False, False, True]])
    e = math.e
    assert softmax(own_B, other_BN, wrong_BN).item() == pytest.approx(-math.log(e / (e + 1 + e**2)))
    terms = [math.log(1 + 1 / e), math.log(2), math.log(1 + e**2)]
    assert bce(own_B, other_BN, wrong_BN).item() == pytest.approx(sum(terms) / 3, rel=1e-6)
    powered = (0.5 * terms[0] + terms[1] + terms[2]) / 3
    assert bce(own_B, other_BN, wrong_BN, power=0.5).item() == pytest.approx(powered, rel=1e-6)


@pytest.mark.parametrize("kind", CATALOGUE_LOSSES)
@pytest.mark.parametrize("spec", KINDS, ids=str)
def test_wrong_negatives_get_no_gradient(kind: str, spec: NegativeSpec) -> None:
    known = pairs()
    chosen = torch.randint(len(known.user_P), (64,))
    user_B, own_B = known.user_P[chosen], known.item_P[chosen]
    drawn = spec.sampler(known)(user_B, own_B)
    other_BN = torch.randn(drawn.wrong_BN.shape, requires_grad=True)
    loss = CATALOGUE_LOSSES[kind]()(Scored(torch.randn(64), other_BN, drawn, ITEMS))
    loss.backward()
    assert loss.isfinite()
    assert (other_BN.grad[drawn.wrong_BN] == 0).all()
    assert (other_BN.grad[~drawn.wrong_BN] > 0).all()


@pytest.mark.parametrize("shared", [False, True])
def test_scores_are_inner_products(shared: bool) -> None:
    known = pairs()
    table_IV, query_BV = torch.randn(ITEMS, 4), torch.randn(6, 4)
    user_B, own_B = known.user_P[:6], known.item_P[:6]
    seen: list[Scored] = []

    class Look(CATALOGUE_LOSSES["bpr"]):  # type: ignore[misc]
        def __call__(self, scored: Scored) -> Tensor:
            seen.append(scored)
            return scored.own_B.sum()

    catalogue_loss(
        Look(),
        UniformNegatives(count=7, shared=shared).sampler(known),
        query_BV=query_BV,
        item_vectors=lambda item: table_IV[item],
        items=ITEMS,
        user_B=user_B,
        own_B=own_B,
    )
    score_BI = query_BV @ table_IV.T
    assert torch.allclose(seen[0].own_B, score_BI.gather(1, own_B.unsqueeze(1)).squeeze(1), atol=1e-6)
    assert torch.allclose(seen[0].other_BN, score_BI.gather(1, items_BN(seen[0].drawn)), atol=1e-6)


@pytest.mark.parametrize("corrected", [True, False])
def test_the_corrected_softmax_has_the_full_one_for_its_optimum(*, corrected: bool) -> None:
    """Items wanted by known shares: scores become their logarithms, whatever the negatives; without correction not."""
    item_P = torch.multinomial(torch.softmax(torch.linspace(0, 3, 12), 0), 2000, replacement=True)
    # Each pair its own user, so that nothing but the own item is masked.
    known = Pairs(torch.arange(2000), item_P, users=2000, items=12)
    score_I, mean_I = torch.zeros(12, requires_grad=True), torch.zeros(12)
    sampler = PopularityNegatives(count=4, power=1.0, shared=True).sampler(known)
    loss = CATALOGUE_LOSSES["sampled_softmax"](correction=corrected)
    for step in range(300):
        drawn = sampler(known.user_P, item_P)
        scored = Scored(score_I[item_P], score_I[drawn.item].expand(2000, -1), drawn, 12)
        (gradient_I,) = torch.autograd.grad(loss(scored), score_I)
        score_I = (score_I - 2.0 * gradient_I).detach().requires_grad_()
        mean_I += score_I.detach() / 200 * (step >= 100)
    far = (torch.softmax(mean_I, 0) - torch.bincount(item_P, minlength=12) / 2000).abs().max()
    assert (far < 0.04) == corrected
