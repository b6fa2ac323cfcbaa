"""The loss over the whole catalogue is torch's cross-entropy, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from train.losses.linear_cross_entropy import linear_cross_entropy


def drawn(predictions: int = 7, items: int = 11, width: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, items, own items and biases, in float64."""
    torch.manual_seed(0)
    query_QV = torch.randn(predictions, width, dtype=torch.float64, requires_grad=True)
    item_IV = torch.randn(items, width, dtype=torch.float64, requires_grad=True)
    bias_I = torch.randn(items, dtype=torch.float64, requires_grad=True)
    return query_QV, item_IV, torch.randint(items, (predictions,)), bias_I


@pytest.mark.parametrize("rows", [1, 3, 7, 128])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("biased", [False, True])
def test_it_is_the_cross_entropy(rows: int, smoothing: float, biased: bool) -> None:
    query_QV, item_IV, own_Q, bias_I = drawn()
    given = bias_I if biased else None
    loss = linear_cross_entropy(query_QV, item_IV, own_Q, bias_I=given, smoothing=smoothing, rows=rows)
    logit_QI = query_QV @ item_IV.T + (bias_I if biased else 0.0)
    right = cross_entropy(logit_QI, own_Q, label_smoothing=smoothing)
    weights = [query_QV, item_IV, *([bias_I] if biased else [])]
    assert torch.allclose(loss, right, atol=1e-12)
    for mine, wanted in zip(
        torch.autograd.grad(3.0 * loss, weights), torch.autograd.grad(3.0 * right, weights), strict=True
    ):
        assert torch.allclose(mine, wanted, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradients_are_right(smoothing: float) -> None:
    query_QV, item_IV, own_Q, bias_I = drawn(predictions=5, items=4, width=3)

    def loss(query_QV: Tensor, item_IV: Tensor, bias_I: Tensor) -> Tensor:
        return linear_cross_entropy(query_QV, item_IV, own_Q, bias_I=bias_I, smoothing=smoothing, rows=2)

    assert torch.autograd.gradcheck(loss, (query_QV, item_IV, bias_I))


def test_large_logits_stay_finite() -> None:
    query = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    loss = linear_cross_entropy(query, torch.tensor([[1.0], [-1.0], [0.0]]), torch.tensor([1, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(200.0)
    assert query.grad is not None
    assert query.grad.isfinite().all()


def test_nothing_to_predict_is_no_loss() -> None:
    query, item = torch.zeros(0, 3, requires_grad=True), torch.ones(4, 3, requires_grad=True)
    loss = linear_cross_entropy(query, item, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0.0
    assert item.grad is not None
    assert torch.equal(item.grad, torch.zeros(4, 3))


def test_only_what_is_asked_for_is_made() -> None:
    query, item, own, _ = drawn()
    assert linear_cross_entropy(query.detach(), item.detach(), own).requires_grad is False
    linear_cross_entropy(query.detach(), item, own).backward()
    assert query.grad is None
    assert item.grad is not None


def test_there_is_no_second_derivative() -> None:
    query, item, own, _ = drawn()
    (first,) = torch.autograd.grad(linear_cross_entropy(query, item, own), query, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        first.sum().backward()
