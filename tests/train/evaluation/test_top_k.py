"""The fast exact ranking against the plain one: scores of whole rows in float64, rounded, sorted by score and index."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.evaluation import shortlist
from train.evaluation.ranking import top_k
from train.item_sets import NOTHING, ItemSets

ITEMS = 300
"""More than one group of items, the last of them not full."""


def reference(query_BD: Tensor, item_ID: Tensor, k: int, seen: ItemSets | None = None) -> tuple[Tensor, Tensor]:
    """Every score in float64, rounded to float32; the stable sort leaves ties in order of index."""
    score_BI = (query_BD.double() @ item_ID.double().T).float() + 0.0
    there_BI = torch.ones_like(score_BI, dtype=torch.bool)
    if seen is not None:
        there_BI[seen.pairs(torch.arange(len(query_BD)))] = False
    lists = []
    for score_I, there_I in zip(score_BI, there_BI, strict=True):
        item = there_I.nonzero().squeeze(1)
        item = item[torch.sort(score_I[item], descending=True, stable=True).indices][:k]
        empty = k - len(item)
        score = torch.cat([score_I[item], torch.full((empty,), -math.inf)])
        lists.append((torch.cat([item, torch.full((empty,), NOTHING)]), score))
    return torch.stack([item for item, _ in lists]), torch.stack([score for _, score in lists])


def agrees(query: Tensor, item: Tensor, k: int, seen: ItemSets | None = None, block: int | None = None) -> None:
    found = top_k(query, item, k=k, user_B=torch.arange(len(query)), masked=seen, block=block)
    for ours, expected in zip(found, reference(query, item, k, seen), strict=True):
        assert torch.equal(ours, expected)


def masks(users: int, items: int, share: float, generator: torch.Generator) -> ItemSets:
    pairs = (torch.rand(users, items, generator=generator) < share).nonzero(as_tuple=True)
    return ItemSets.of(*pairs, users=users, items=items)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    values=st.integers(1, 40),
    scales=st.tuples(st.integers(-140, 100), st.integers(-140, 100)),
    dimensions=st.integers(1, 20),
    k=st.sampled_from([1, 3, 10, 60, 299, 310]),
    share=st.sampled_from([0.0, 0.2, 0.97, 1.0]),
    block=st.sampled_from([None, 1, 3]),
)
def test_whole_numbers_of_any_size(
    seed: int, values: int, scales: tuple[int, int], dimensions: int, k: int, share: float, block: int | None
) -> None:
    """Small whole numbers times a power of two: every sum is exact, so every order of summing gives these bits.

    Few different values tie often; the powers reach below and beyond what float32 holds.
    """
    generator = torch.Generator().manual_seed(seed)
    query, item = (
        torch.randint(-values, values + 1, (rows, dimensions), generator=generator).float() * 2.0**scale
        for rows, scale in zip((7, ITEMS), scales, strict=True)
    )
    agrees(query, item, k, masks(7, ITEMS, share, generator), block)


@pytest.mark.parametrize("k", [1, 10, 50])
@pytest.mark.parametrize("spread", [0.0, 3.0, 12.0])
def test_vectors_of_every_length(k: int, spread: float) -> None:
    """Normal vectors, some items a million times as long as others."""
    generator = torch.Generator().manual_seed(k)
    query, item = torch.randn(64, 48, generator=generator), torch.randn(2000, 48, generator=generator)
    item *= torch.exp(spread * torch.rand(2000, 1, generator=generator))
    agrees(query, item, k, masks(64, 2000, 0.01, generator))


def test_equal_vectors_tie_by_index() -> None:
    generator = torch.Generator().manual_seed(0)
    item = torch.randn(40, 16, generator=generator).repeat(30, 1)  # each thirty times: more than is kept beyond k
    query = torch.randn(20, 16, generator=generator)
    agrees(query, item, 10)
    assert all(short.whole_B.all() for short in lists_of(query, item, 10))


def lists_of(query: Tensor, item: Tensor, k: int) -> list[shortlist.Shortlist]:
    return list(shortlist.shortlists(query, item, k=k, user_B=None, masked=None, block=None))


def test_scores_closer_than_float32_tells() -> None:
    """Items that differ in the last bit of one number: float32 sums mix them up, the exact scores don't."""
    generator = torch.Generator().manual_seed(1)
    item = torch.randn(1, 64, generator=generator).repeat(500, 1)
    item[:, 5] = torch.tensor(1.0) + torch.arange(500) * 2.0**-23
    query = torch.randn(30, 64, generator=generator)
    plain = torch.topk(query @ item.T, 10, dim=1).indices
    assert not torch.equal(plain, reference(query, item, 10)[0])
    agrees(query, item, 10)


def test_usually_no_whole_row_is_needed() -> None:
    generator = torch.Generator().manual_seed(2)
    query, item = torch.randn(300, 64, generator=generator), torch.randn(5000, 64, generator=generator)
    assert not any(bool(short.whole_B.any()) for short in lists_of(query, item, 20))


def test_beyond_float32_the_whole_row_is_scored() -> None:
    query, item = torch.full((2, 2), 1e25), torch.full((100, 2), 1e25)
    item[50] *= -1
    assert all(bool(short.whole_B.all()) for short in lists_of(query, item, 3))
    agrees(query, item, 3)


def test_the_arithmetic_of_the_training_moves_nothing() -> None:
    generator = torch.Generator().manual_seed(3)
    query, item = torch.randn(50, 64, generator=generator), torch.randn(3000, 64, generator=generator)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        agrees(query, item, 10)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
