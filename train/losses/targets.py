"""The loss of a ranker over its targets, where some rows do not tell every one.

Shapes: B rows, T targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from train.batch import Batch, Target
from train.losses.pointwise import PointwiseLoss


def mean_of_known(loss: PointwiseLoss, logit_B: Tensor, target_B: Tensor) -> Tensor:
    """The mean loss of the rows whose target is no NaN; zero where there are none. The others pass no gradient.

    Example:
        >>> from train.losses.pointwise import BceSpec
        >>> target = torch.tensor([1.0, torch.nan])
        >>> logit = torch.tensor([0.0, 9.0], requires_grad=True)
        >>> loss = mean_of_known(BceSpec(), logit, target)
        >>> loss.backward()
        >>> round(loss.item(), 4), logit.grad.tolist()
        (0.6931, [-0.5, 0.0])
    """
    known_B = ~target_B.isnan()
    loss_B = loss.rows(logit_B, torch.where(known_B, target_B, 0.0))
    return torch.where(known_B, loss_B, 0.0).sum() / known_B.sum().clamp(min=1)


@dataclass(frozen=True)
class TargetsLoss:
    """`sum_t w_t L_t`, where L_t is the mean loss of the rows that tell target t.

    A target of weight 0 is left out, so it changes no bit of what is learned of the others.

    Attributes:
        loss: Of a single row.
        targets: In the order of the logits.
        weights: Of each.
    """

    loss: PointwiseLoss
    targets: Sequence[Target]
    weights: Sequence[float]

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Logits [B, T], or [B] of a single target, and a batch with targets -> a scalar."""
        assert batch.target_B is not None, "the loader was asked for the target"
        if len(self.targets) == 1:
            one, (weight,) = self._one(self.targets[0], logits, batch.target_B), self.weights
            return one if weight == 1.0 else weight * one
        targets_BT = batch.targets_BT
        assert targets_BT is not None, "the loader was asked for all targets"
        told = [place for place, weight in enumerate(self.weights) if weight]
        losses = [self._one(self.targets[place], logits[:, place], targets_BT[:, place]) for place in told]
        return torch.stack([self.weights[place] * one for place, one in zip(told, losses, strict=True)]).sum()

    def _one(self, target: Target, logit_B: Tensor, target_B: Tensor) -> Tensor:
        return self.loss.mean(logit_B, target_B) if target.known else mean_of_known(self.loss, logit_B, target_B)
