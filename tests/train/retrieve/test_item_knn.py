"""ItemKNN is the cosine of two columns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.train.retrieve.planted import asked, filled, histories_of, met
from train.linear_algebra import counts
from train.models.retrieve.item_knn import ItemKnnSpec


def similarity(met_UI: Tensor, *, shrink: float) -> Tensor:
    """The same in float64, whole; nothing is near itself."""
    x_UI = met_UI.double()
    both_II, users_I = x_UI.T @ x_UI, x_UI.sum(dim=0)
    similar_II = both_II / (torch.outer(users_I, users_I).sqrt() + shrink).clamp(min=1e-12)
    return similar_II.fill_diagonal_(0.0)


def nearest(similar_II: Tensor, most: int) -> Tensor:
    """Only the most similar of each column are left; of equal ones the first."""
    kept_II = torch.zeros_like(similar_II)
    for item, column_I in enumerate(similar_II.T.tolist()):
        best = sorted((one for one in range(len(column_I)) if one != item), key=lambda one: -column_I[one])[:most]
        kept_II[best, item] = similar_II[best, item]
    return kept_II


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("shrink", [0.0, 5.0])
@pytest.mark.parametrize("neighbours", [1, 7, 1000])
def test_scores_are_sums_of_cosines(shrink: float, neighbours: int, *, normalize: bool) -> None:
    met_UI = met(60, 40, 0.2)
    module = filled(ItemKnnSpec(neighbours=neighbours, shrink=shrink, normalize=normalize), met_UI)
    weight_II = nearest(similarity(met_UI, shrink=shrink), neighbours)
    if normalize:
        weight_II /= weight_II.sum(dim=0).clamp(min=1e-12)  # each column of weights sums to one
    expected_UI = met_UI.double() @ weight_II
    assert expected_UI.max() > 0.2
    assert torch.allclose(module(histories_of(met_UI)).double(), expected_UI, atol=1e-6)


def test_of_equally_near_items_the_first_are_kept() -> None:
    met_UI = torch.ones(3, 5, dtype=torch.bool)  # every item is equally near to every other
    score_I = filled(ItemKnnSpec(neighbours=2, normalize=False), met_UI)(asked([0], [1], [2], [3], [4]))
    assert score_I.tolist() == [[0, 1, 1, 1, 1], [1, 0, 1, 1, 1], [1, 1, 0, 0, 0], [0] * 5, [0] * 5]


def test_what_comes_again_counts_once() -> None:
    met_UI = met(30, 20, 0.3)
    model = ItemKnnSpec(neighbours=5)
    once, twice = filled(model, met_UI), filled(model, met_UI, again=50)
    assert all(torch.equal(a, b) for a, b in zip(once.state_dict().values(), twice.state_dict().values(), strict=True))
    assert torch.equal(once(asked([3, 1, 3, 3])), once(asked([1, 3])))


def test_somebody_new_gets_finite_scores() -> None:
    module = filled(ItemKnnSpec(), met(30, 20, 0.3))
    assert module(asked([], [])).tolist() == [[0.0] * 20] * 2
    assert torch.equal(module(asked([], [2], []))[1], module(asked([2]))[0])


@pytest.mark.parametrize("items", [1, 2])
def test_a_catalogue_of_hardly_anything(items: int) -> None:
    score_BI = filled(ItemKnnSpec(), torch.ones(3, items, dtype=torch.bool))(asked([0]))
    assert score_BI.tolist() == [[0.0], [0.0, 1.0]][items - 1 : items]


def test_strips_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    met_UI = met(60, 40, 0.2)
    whole = filled(ItemKnnSpec(neighbours=7), met_UI).state_dict()
    monkeypatch.setattr(counts, "STRIP", 3 * 40)
    monkeypatch.setattr(counts, "CHUNK", 10)
    cut = filled(ItemKnnSpec(neighbours=7), met_UI).state_dict()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
