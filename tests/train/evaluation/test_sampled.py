"""Sampled protocols against plain Python and ranx: what is drawn, who is never drawn, and the figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ranx import Qrels, Run
from ranx import evaluate as ranx
from torch import Tensor

from core.errors import UserError
from train.batch import Batch
from train.evaluation.drawn import draw
from train.evaluation.holdout import Holdout
from train.evaluation.sampled import sampled_lists
from train.evaluation.scorer import ModuleScorer, VectorScorer
from train.evaluation.spec import SampledSpec
from train.item_sets import ItemSets
from train.models.retrieve.base import Scores
from train.pairs import Interactions

USERS, ITEMS = 30, 80
MASK = 2**64 - 1


def planted(seed: int = 0, rows: int = 500) -> Interactions:
    """Rows at random, over all splits; some disliked, and items of unequal popularity."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, USERS, rows), (ITEMS * rng.random(rows) ** 2).astype(int)
    pair = np.unique(np.stack([user, item]), axis=1)
    many = pair.shape[1]
    liked, split = rng.random(many) < 0.8, rng.choice(3, many, p=[0.6, 0.2, 0.2])
    tensors = [torch.from_numpy(one) for one in (pair[0], pair[1], liked, split)]
    return Interactions(*tensors, torch.zeros(many, dtype=torch.int64), users=USERS, items=ITEMS)


def met(log: Interactions) -> ItemSets:
    return ItemSets.of(log.user_P, log.item_P, users=log.users, items=log.items)


def mix(word: int) -> int:
    """SplitMix64, as published."""
    state = (word + 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def by_hand(user: int, item: int, seen: set[int], weights: list[int], spec: SampledSpec) -> list[int]:
    """The negatives of one case, one word after the other."""
    key = mix((mix((mix(spec.seed) + user) & MASK) + item) & MASK)
    found: list[int] = []
    draws = 0
    while len(found) < spec.negatives:
        share = (mix((key + draws * 0x9E3779B97F4A7C15) & MASK) >> 32) * sum(weights) >> 32
        draws += 1
        one = 0
        while share >= weights[one]:
            share -= weights[one]
            one += 1
        if one not in seen and one not in found:
            found.append(one)
    return found


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**40), negatives=st.sampled_from([1, 5, 30]), popular=st.booleans())
def test_what_is_drawn(seed: int, negatives: int, popular: bool) -> None:
    log = planted()
    spec = SampledSpec(negatives=negatives, by="popularity" if popular else "uniform", seed=seed)
    weight = torch.bincount(log.item_P, minlength=ITEMS) if popular else None
    user, item = log.user_P[:20], log.item_P[:20]
    found = draw(user, item, met=met(log), weight_I=weight, spec=spec)
    for at, (who, what) in enumerate(zip(user.tolist(), item.tolist(), strict=True)):
        seen = set(log.item_P[log.user_P == who].tolist())
        assert found[at].tolist() == by_hand(who, what, seen, weight.tolist() if popular else [1] * ITEMS, spec)
        assert not seen & set(found[at].tolist())
        assert len(set(found[at].tolist())) == negatives
    assert torch.equal(draw(user[7:9], item[7:9], met=met(log), weight_I=weight, spec=spec), found[7:9])


def test_the_law_of_the_draws() -> None:
    """The first negative of many cases: uniform, and by weight."""
    none = ItemSets.of(torch.zeros(0), torch.zeros(0), users=20_000, items=10)
    user, item = torch.arange(20_000), torch.zeros(20_000, dtype=torch.int64)
    for weight in (None, torch.tensor([0, 1, 2, 3, 4, 0, 6, 7, 8, 9])):
        first = draw(user, item, met=none, weight_I=weight, spec=SampledSpec(negatives=1))[:, 0]
        chance = torch.full((10,), 0.1) if weight is None else weight / weight.sum()
        expected = 20_000 * chance
        apart = (torch.bincount(first, minlength=10) - expected).square() / expected.clamp(min=1)
        assert apart.sum() < 23.6  # 99.5 % of chi-square with nine degrees of freedom
        assert weight is None or not (first == 5).any()


def test_too_few_items_are_told() -> None:
    log = planted()
    with pytest.raises(UserError, match="80 items are to be drawn") as told:
        draw(log.user_P, log.item_P, met=met(log), weight_I=None, spec=SampledSpec(negatives=80))
    assert "draw at most" in str(told.value)
    weight = (torch.arange(ITEMS) < 3).long()
    with pytest.raises(UserError, match="liked in training"):
        draw(log.user_P, log.item_P, met=met(log), weight_I=weight, spec=SampledSpec(negatives=9, by="popularity"))


def vectors(log: Interactions, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Small whole numbers, so that scores tie often."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(-2, 3, (rows, 3), generator=generator).float() for rows in (log.users, log.items))  # type: ignore[return-value]


@pytest.mark.filterwarnings("ignore")  # ranx compiles itself at first use, with warnings of its compiler
@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_the_figures_are_those_of_plain_python_and_of_ranx(by: str) -> None:
    log, spec, ks = planted(), SampledSpec(negatives=20, by=by, seed=3), (1, 5, 10)
    user_UV, item_IV = vectors(log)
    holdout = Holdout.of(log, "test")
    lists = sampled_lists(holdout, VectorScorer(user_UV[holdout.user_Q], item_IV), log, spec, ks=ks)
    weight = torch.bincount(log.positives("train")[1], minlength=ITEMS) if by == "popularity" else torch.ones(ITEMS)
    seen = {user: set(log.item_P[log.user_P == user].tolist()) for user in range(USERS)}
    place: dict[int, list[int]] = {}
    qrels, run = {}, {}
    wanted_row, wanted_item = holdout.wanted.pairs(holdout.user_Q)
    for user, item in zip(holdout.user_Q[wanted_row].tolist(), wanted_item.tolist(), strict=True):
        shown = [item, *by_hand(user, item, seen[user], [int(one) for one in weight], spec)]
        score = {one: float(user_UV[user] @ item_IV[one]) for one in shown}
        order = sorted(shown, key=lambda one: (-score[one], one))
        place.setdefault(user, []).append(1 + order.index(item))
        # ranx orders ties as it likes: it is given the places.
        qrels[f"{user:02}-{item:02}"] = {str(item): 1}
        run[f"{user:02}-{item:02}"] = {str(one): -float(at) for at, one in enumerate(order)}
    assert any(len(one) > 1 for one in place.values())
    sample = lists.sample()
    assert sample.user_Q.tolist() == sorted(place)
    for k in ks:
        hits = [np.mean([at <= k for at in place[user]]) for user in sorted(place)]
        assert sample.value[f"sampled_hr@{k}"].tolist() == pytest.approx(hits)
        for ours, theirs in (("hr", "hit_rate"), ("ndcg", "ndcg"), ("mrr", "mrr")):
            each = ranx(Qrels(qrels), Run(run), f"{theirs}@{k}", return_mean=False)
            cases: dict[str, list[float]] = {}
            for name, value in zip(sorted(qrels), each, strict=True):
                cases.setdefault(name[:2], []).append(value)
            mean = [np.mean(cases[name]) for name in sorted(cases)]
            assert sample.value[f"sampled_{ours}@{k}"].tolist() == pytest.approx(mean), ours
            assert lists.whole()[f"sampled_{ours}@{k}"] == pytest.approx(np.mean(mean))


class Table(Scores):
    """Scores by user and item."""

    def __init__(self, score_UI: Tensor) -> None:
        super().__init__()
        self.score_UI = score_UI

    def forward(self, query: Batch) -> Tensor:
        return self.score_UI[query.extra["user"]]


def test_scores_of_modules_are_those_of_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    log = planted()
    user_UV, item_IV = vectors(log)
    row, item = torch.tensor([0, 0, 4, 9, 9, 29]), torch.randint(0, ITEMS, (6, 7))
    queries = Batch(torch.zeros(USERS, 0), torch.zeros(USERS, 0), extra={"user": torch.arange(USERS)})
    by_vectors = VectorScorer(user_UV, item_IV).scores(row, item)
    assert by_vectors.tolist() == (user_UV @ item_IV.T)[row.unsqueeze(1), item].tolist()
    for size in (1, 3, 100):
        monkeypatch.setattr("train.evaluation.scorer.block_size", lambda *_, size=size: size)
        found = ModuleScorer(Table(user_UV @ item_IV.T), queries, ITEMS).scores(row, item)
        assert torch.equal(found, by_vectors)


def test_parts_make_up_the_whole() -> None:
    log = planted()
    holdout = Holdout.of(log, "test")
    user_UV, item_IV = vectors(log)
    lists = sampled_lists(
        holdout, VectorScorer(user_UV[holdout.user_Q], item_IV), log, SampledSpec(negatives=9), ks=(5,)
    )
    there = torch.arange(USERS) < 11
    few, rest, whole = lists.of_users(there), lists.of_users(~there), lists.whole()
    assert few
    assert rest
    assert few.figures["users"] + rest.figures["users"] == whole["users"] == len(holdout.user_Q)
    both = sum(part.figures["sampled_ndcg@5"] * part.figures["users"] for part in (few, rest))
    assert both / whole["users"] == pytest.approx(whole["sampled_ndcg@5"])
    assert lists.of_users(torch.zeros(USERS, dtype=torch.bool)) is None
    items = torch.arange(ITEMS) < 4
    part = lists.of_items(items)
    assert part
    assert part.figures["positives"] == int(items[lists.item_C].sum())
    assert lists.of_items(torch.zeros(ITEMS, dtype=torch.bool)) is None
