"""Losses of single rows: logits and targets to one number that training makes smaller.

Shapes: B rows; a second axis T of several targets changes nothing.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from core.spec import Spec

Weight = Annotated[float, Field(gt=0.0)]
Exponent = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
InnerShare = Annotated[float, Field(gt=0.0, lt=1.0)]


def binary_cross_entropy(logit_B: Tensor, target_B: Tensor) -> Tensor:
    """Mean logloss of a batch, computed from logits so that large ones neither overflow nor lose digits.

    Example:
        >>> binary_cross_entropy(torch.tensor([200.0, -200.0]), torch.tensor([1.0, 1.0]))
        tensor(100.)
    """
    return functional.binary_cross_entropy_with_logits(logit_B, target_B)


def smoothed(target_B: Tensor, share: float) -> Tensor:
    """Targets drawn towards one half: `t (1 - share) + share / 2` (Szegedy et al., 2016, with two classes).

    Example:
        >>> smoothed(torch.tensor([0.0, 1.0]), 0.1)
        tensor([0.0500, 0.9500])
    """
    return target_B * (1.0 - share) + 0.5 * share if share else target_B


class PointwiseLoss(Spec):
    """Settings of a loss of single rows.

    Attributes:
        label_smoothing: Share of the target that is replaced by one half.
    """

    label_smoothing: Share = 0.0

    def rows(self, logit_B: Tensor, target_B: Tensor) -> Tensor:
        """The loss of each row -> loss_B, float32; targets are 0 or 1."""
        raise NotImplementedError

    def mean(self, logit_B: Tensor, target_B: Tensor) -> Tensor:
        """The mean of `rows`, a scalar."""
        return self.rows(logit_B, target_B).mean()


class BceSpec(PointwiseLoss):
    """Binary cross-entropy (logloss).

    With w = `positive_weight` a row costs `-(w t log p + (1 - t) log(1 - p))`, and the mean is over rows, not over
    weights. The optimum then has its odds multiplied by w: such scores rank, but they are no probabilities.

    Attributes:
        positive_weight: What a positive row counts, where a negative one counts 1.

    Example:
        >>> loss = BceSpec(positive_weight=3.0).mean(torch.zeros(2), torch.tensor([1.0, 0.0]))
        >>> round(loss.item() / torch.log(torch.tensor(2.0)).item(), 4)
        2.0
    """

    positive_weight: Weight = 1.0

    def rows(self, logit_B: Tensor, target_B: Tensor) -> Tensor:
        """The logloss of each row."""
        weight = None if self.positive_weight == 1.0 else logit_B.new_tensor(self.positive_weight)
        target_B = smoothed(target_B, self.label_smoothing)
        return functional.binary_cross_entropy_with_logits(logit_B, target_B, pos_weight=weight, reduction="none")

    def mean(self, logit_B: Tensor, target_B: Tensor) -> Tensor:
        """The mean logloss."""
        if self.positive_weight == 1.0:
            return binary_cross_entropy(logit_B, smoothed(target_B, self.label_smoothing))
        return super().mean(logit_B, target_B)


class FocalSpec(PointwiseLoss):
    """The focal loss: rows that are already right count less (Lin et al., 2017, equation 5).

    A positive row costs `-alpha (1 - p)^gamma log p`, a negative one `-(1 - alpha) p^gamma log(1 - p)`; a smoothed
    target costs its shares of both. The factors are computed as `exp(gamma log(1 - p))`, whose gradient stays finite
    where `1 - p` is zero. The scores are no probabilities.

    Attributes:
        gamma: How much less; 0 gives the logloss, weighted by `alpha`.
        alpha: Weight of positive rows, where negative ones have `1 - alpha`; None: both count 1.

    Example:
        >>> both = torch.tensor([3.0, -1.0]), torch.tensor([1.0, 0.0])
        >>> same = FocalSpec(gamma=0.0, alpha=None).mean(*both), binary_cross_entropy(*both)
        >>> torch.allclose(*same)
        True
    """

    gamma: Exponent = 2.0
    alpha: InnerShare | None = 0.25

    def rows(self, logit_B: Tensor, target_B: Tensor) -> Tensor:
        """The focal loss of each row."""
        target_B = smoothed(target_B, self.label_smoothing)
        log_p_B, log_q_B = functional.logsigmoid(logit_B), functional.logsigmoid(-logit_B)
        positive, negative = (1.0, 1.0) if self.alpha is None else (self.alpha, 1.0 - self.alpha)
        return -(
            positive * target_B * torch.exp(self.gamma * log_q_B) * log_p_B
            + negative * (1.0 - target_B) * torch.exp(self.gamma * log_p_B) * log_q_B
        )


POINTWISE: dict[str, type[PointwiseLoss]] = {
    "bce": BceSpec,
    "focal": FocalSpec,
}
