"""Ranked-list metrics and exact ranking: by hand, against ranx and scikit-learn, and against a plain loop."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ranx import Qrels, Run
from ranx import evaluate as ranx
from sklearn.metrics import ndcg_score

from core.errors import UserError
from train.evaluation.ranking import top_k
from train.item_sets import NOTHING, ItemSets
from train.metrics.ranking import coverage, per_user

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=40)


def sets(pairs: list[tuple[int, int]], users: int = 5, items: int = 7) -> ItemSets:
    """Pairs as item sets."""
    user, item = (torch.tensor([pair[i] for pair in pairs], dtype=torch.int64) for i in (0, 1))
    return ItemSets.of(user, item, users=users, items=items)


def by_hand(scores: list[float], masked: set[int], k: int) -> list[int]:
    """Best items first, ties by index, masked ones never, filled up with NOTHING."""
    order = sorted((item for item in range(len(scores)) if item not in masked), key=lambda i: (-scores[i], i))
    return (order + [NOTHING] * k)[:k]


def test_metrics_by_hand() -> None:
    hit = torch.tensor([[True, False, True, False], [False, False, False, True], [False] * 4])
    found = per_user(hit, torch.tensor([2, 5, 1]), k=4)
    log = math.log2
    ideal = sum(1 / log(i + 1) for i in range(1, 5))
    expected = {
        "recall@4": [1.0, 0.2, 0.0],
        "capped_recall@4": [1.0, 0.25, 0.0],
        "ndcg@4": [(1 + 1 / log(4)) / (1 + 1 / log(3)), (1 / log(5)) / ideal, 0.0],
        "hr@4": [1.0, 1.0, 0.0],
        "mrr@4": [1.0, 0.25, 0.0],
        "map@4": [(1 + 2 / 3) / 2, 0.25 / 4, 0.0],
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].tolist() == pytest.approx(values, abs=1e-15), name


def test_a_perfect_list_scores_one_everywhere() -> None:
    for name, value in per_user(torch.ones(1, 10, dtype=torch.bool), torch.tensor([40]), k=10).items():
        assert value.item() == pytest.approx(0.25 if name == "recall@10" else 1.0), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("k", [1, 5, 20])
def test_ranx_agrees(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    users, items = 40, 60
    query, item = torch.randn(users, 4, generator=generator), torch.randn(items, 4, generator=generator)
    relevant = torch.rand(users, items, generator=generator) < 0.15
    relevant[:, 0] = True
    positives = ItemSets.of(*relevant.nonzero(as_tuple=True), users=users, items=items)
    best, score = top_k(query, item, k=k)
    found = per_user(positives.contain(torch.arange(users), best), positives.sizes, k=k)
    qrels = Qrels({f"{u:03}": {str(int(i)): 1 for i in relevant[u].nonzero()} for u in range(users)})
    lists = [zip(best[u].tolist(), score[u].tolist(), strict=True) for u in range(users)]
    run = Run({f"{u:03}": {str(i): s for i, s in one} for u, one in enumerate(lists)})
    theirs = {
        "recall": "recall",
        "capped_recall": "recall",
        "ndcg": "ndcg",
        "hr": "hit_rate",
        "mrr": "mrr",
        "map": "map",
    }
    reachable = positives.sizes.clamp(max=k) / positives.sizes.double()  # ranx divides by all positives
    share = {"map": reachable, "capped_recall": reachable}
    expected = ranx(qrels, run, [f"{name}@{k}" for name in theirs.values()], return_mean=False)
    for ours, name in theirs.items():
        values = found[f"{ours}@{k}"] * share.get(ours, 1.0)
        assert values.tolist() == pytest.approx(expected[f"{name}@{k}"].tolist(), abs=1e-12), ours


def test_scikit_learns_ndcg_agrees() -> None:
    generator = torch.Generator().manual_seed(0)
    score = torch.randn(30, 50, generator=generator)
    relevant = torch.rand(30, 50, generator=generator) < 0.2
    relevant[:, 3] = True
    order = score.argsort(dim=1, descending=True)
    hit = torch.gather(relevant, 1, order)
    found = per_user(hit, relevant.sum(1), k=10)["ndcg@10"]
    assert found.mean().item() == pytest.approx(ndcg_score(relevant, score, k=10), abs=1e-12)


@given(PAIRS)
def test_item_sets_are_sets(pairs: list[tuple[int, int]]) -> None:
    found = sets(pairs)
    for user in range(5):
        expected = sorted({item for one, item in pairs if one == user})
        assert found.item_P[found.start_U[user] : found.start_U[user + 1]].tolist() == expected
    everyone = torch.tensor([4, 0, 2, 2])
    row, item = found.pairs(everyone)
    listed = [(row, item) for row, user in enumerate(everyone) for item in sorted({i for u, i in pairs if u == user})]
    assert list(zip(row.tolist(), item.tolist(), strict=True)) == listed
    inside = found.contain(everyone, torch.arange(-1, 7).expand(4, -1))
    assert inside.nonzero().tolist() == [[row, item + 1] for row, item in listed]


@given(PAIRS, PAIRS)
def test_minus_takes_pairs_away(pairs: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    found = sets(pairs).minus(sets(others))
    expected = sets(sorted(set(pairs) - set(others)))
    assert found.start_U.tolist() == expected.start_U.tolist()
    assert found.item_P.tolist() == expected.item_P.tolist()


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([-2.0, -0.0, 0.0, 0.5, 3.0]), min_size=7, max_size=7), min_size=5, max_size=5),
    PAIRS,
    st.integers(1, 9),
    st.integers(1, 6),
)
def test_top_k_is_the_plain_sort(scores: list[list[float]], seen: list[tuple[int, int]], k: int, block: int) -> None:
    # With the identity as items, the queries are the scores.
    item, score = top_k(torch.tensor(scores), torch.eye(7), k=k, user_B=torch.arange(5), masked=sets(seen), block=block)
    for user in range(5):
        expected = by_hand(scores[user], {i for u, i in seen if u == user}, k)
        assert item[user].tolist() == expected
        values = [scores[user][i] if i != NOTHING else -math.inf for i in expected]
        assert score[user].tolist() == values


def test_equal_items_tie_whatever_the_block() -> None:
    generator = torch.Generator().manual_seed(0)
    item = torch.randn(101, 33, generator=generator).repeat(3, 1)
    query = torch.randn(64, 33, generator=generator)
    whole, score = top_k(query, item, k=30)
    for block in (1, 7, 64):
        again, score_again = top_k(query, item, k=30, block=block)
        assert torch.equal(whole, again)
        assert torch.equal(score, score_again)
    # Each vector comes three times: as triples in order of index.
    assert torch.equal(whole[:, 0::3] + 101, whole[:, 1::3])
    assert torch.equal(whole[:, 1::3] + 101, whole[:, 2::3])


def test_no_query_and_no_item() -> None:
    assert top_k(torch.zeros(0, 2), torch.zeros(3, 2), k=2)[0].shape == (0, 2)
    assert top_k(torch.zeros(1, 2), torch.zeros(0, 2), k=2)[0].tolist() == [[NOTHING, NOTHING]]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_vectors_that_are_not_numbers_are_told(bad: float) -> None:
    with pytest.raises(UserError, match="NaN or infinity"):
        top_k(torch.tensor([[bad]]), torch.ones(2, 1), k=1)


def test_coverage_counts_distinct_items_shown() -> None:
    shown = torch.tensor([[0, 1, 2], [1, 0, NOTHING]])
    assert coverage(shown, k=2, items=10) == 0.2
    assert coverage(shown, k=3, items=10) == 0.3
