"""The softmax over the whole catalogue, without the logits: row blocks whose gradients are made on the way.

Shapes: Q predictions, I items, V dimensions, R rows of a block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def linear_cross_entropy(
    query_QV: Tensor,
    item_IV: Tensor,
    own_Q: Tensor,
    *,
    bias_I: Tensor | None = None,
    smoothing: float = 0.0,
    rows: int = 128,
) -> Tensor:
    """Mean cross-entropy of `query_QV @ item_IV.T + bias_I` against each prediction's own item.

    Equal to `cross_entropy(..., label_smoothing=smoothing)` of the whole matrix of logits, in value and gradient, but
    only `rows` rows of it exist at a time, and only once: their gradients are made in the forward. That is three
    matrix products and a memory of `rows * I`, whatever Q is. (Wijmans et al., 2024, Cut Your Losses, keep no logits
    either.) There is no second derivative.

    Args:
        query_QV: One vector a prediction; without any the loss is zero.
        item_IV: One vector an item.
        own_Q: int64, the item that was right.
        bias_I: Added to each item's logit.
        smoothing: Share of the target that is spread evenly over the catalogue (Szegedy et al., 2016, section 7).
        rows: Predictions at a time; it moves the result by rounding alone.

    Returns:
        A scalar.

    Example:
        >>> query, item = torch.zeros(3, 2, requires_grad=True), torch.ones(4, 2)
        >>> loss = linear_cross_entropy(query, item, torch.tensor([0, 1, 2]))
        >>> round(loss.exp().item(), 4)  # four equal candidates
        4.0
    """
    loss: Tensor = _LinearCrossEntropy.apply(query_QV, item_IV, own_Q, bias_I, smoothing, rows)  # type: ignore[no-untyped-call]
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    """See `linear_cross_entropy`."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch hands them over by place
        ctx: Any, query_QV: Tensor, item_IV: Tensor, own_Q: Tensor, bias_I: Tensor | None, smoothing: float, rows: int
    ) -> Tensor:
        blocks = _Blocks(query_QV, item_IV, own_Q, bias_I, smoothing, wanted=any(ctx.needs_input_grad))
        for start in range(0, len(query_QV), rows):
            blocks.add(slice(start, start + rows))
        ctx.save_for_backward(blocks.grad_query_QV, blocks.grad_item_IV, blocks.grad_bias_I)
        return blocks.loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        found = [kept * grad if asked else None for kept, asked in zip(ctx.saved_tensors, _asked(ctx), strict=True)]
        return found[0], found[1], None, found[2], None, None


def _asked(ctx: Any) -> tuple[bool, bool, bool]:
    """Whether gradients of queries, items and biases are wanted."""
    query, item, _, bias, *_ = ctx.needs_input_grad
    return query, item, bias


class _Blocks:
    """The sums that grow block by block.

    With e = exp(logit - largest), z its sum and s the smoothing, the gradient of a row's logits is
    e / z - (1 - s) [own] - s / I. The last two parts need no matrix of R x I: they are a row and a sum.
    """

    def __init__(
        self,
        query_QV: Tensor,
        item_IV: Tensor,
        own_Q: Tensor,
        bias_I: Tensor | None,
        smoothing: float,
        *,
        wanted: bool,
    ) -> None:
        self._query_QV, self._item_IV, self._own_Q, self._bias_I = query_QV, item_IV, own_Q, bias_I
        self._right, self._even, self._wanted = 1.0 - smoothing, smoothing / len(item_IV), wanted
        self._share = 1.0 / max(1, len(query_QV))
        self._total_V = item_IV.sum(dim=0)
        self.loss = query_QV.new_zeros(())
        self.grad_query_QV = torch.zeros_like(query_QV)
        self.grad_item_IV = torch.zeros_like(item_IV)
        self.grad_bias_I = item_IV.new_zeros(len(item_IV))

    def add(self, block: slice) -> None:
        """Add a block of predictions."""
        query_RV, own_R = self._query_QV[block], self._own_Q[block]
        exp_RI = query_RV @ self._item_IV.T
        if self._bias_I is not None:
            exp_RI += self._bias_I
        own_R1 = exp_RI.gather(1, own_R.unsqueeze(1))
        most_R1 = exp_RI.amax(dim=1, keepdim=True)
        exp_RI.sub_(most_R1).exp_()
        sum_R1 = exp_RI.sum(dim=1, keepdim=True)
        loss_R1 = sum_R1.log() + most_R1 - self._right * own_R1 - self._smoothed(query_RV)
        self.loss += loss_R1.sum() * self._share
        if self._wanted:
            self._gradients(block, query_RV, own_R, exp_RI, self._share / sum_R1)

    def _smoothed(self, query_RV: Tensor) -> Tensor:
        """What the even part of the target takes from the loss: [R, 1]."""
        sum_R1 = (query_RV @ self._total_V).unsqueeze(1)
        if self._bias_I is not None:
            sum_R1 = sum_R1 + self._bias_I.sum()
        return self._even * sum_R1

    def _gradients(self, block: slice, query_RV: Tensor, own_R: Tensor, exp_RI: Tensor, scale_R1: Tensor) -> None:
        right, even = self._right * self._share, self._even * self._share
        grad_RV = (exp_RI @ self._item_IV) * scale_R1
        self.grad_query_QV[block] = grad_RV - right * self._item_IV[own_R] - even * self._total_V
        self.grad_item_IV.addmm_(exp_RI.T, query_RV * scale_R1)
        self.grad_item_IV.index_add_(0, own_R, query_RV, alpha=-right)
        if self._even:
            self.grad_item_IV.sub_(even * query_RV.sum(dim=0))
        if self._bias_I is not None:
            self.grad_bias_I += (exp_RI.T @ scale_R1).squeeze(1) - even * len(own_R)
            self.grad_bias_I.index_add_(0, own_R, torch.full_like(own_R, -right, dtype=exp_RI.dtype))
