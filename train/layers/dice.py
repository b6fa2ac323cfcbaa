"""Dice, the activation of DIN.

Shapes: N rows, O units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

EPSILON = 1e-8
"""What is added to variances, as in the paper."""
MOMENTUM = 0.1
"""How much of the running statistics a training batch replaces."""
STRIP = 4096
"""Rows that are worked on at a time, so that they stay in the cache from one operation to the next."""


class Dice(nn.Module):
    """The data adaptive activation of DIN: `p x + (1 - p) alpha x`, `p = sigmoid((x - mean) / sd)` (Zhou et al., 2018).

    Each unit has its own alpha, which starts at 0, and its own mean and variance (equation 4): in training those of
    the batch, otherwise running ones, so that no row sees another. A batch without rows leaves them as they are.

    Example:
        >>> dice = Dice(2).eval()
        >>> dice(torch.tensor([[0.0, 50.0]])).tolist()
        [[0.0, 50.0]]
    """

    mean_O: Tensor
    variance_O: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.alpha_O = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("mean_O", torch.zeros(outputs))
        self.register_buffer("variance_O", torch.ones(outputs))

    def forward(self, x_NO: Tensor) -> Tensor:
        """x_NO -> y_NO."""
        if not self.training or x_NO.shape[0] == 0:
            return dice(x_NO, self.mean_O, self.variance_O, self.alpha_O)
        # Statistics of rounded numbers would be worse than need be, and autocast rounds the products that sum them.
        with torch.autocast(x_NO.device.type, enabled=False):
            y_NO, mean_O, variance_O = self._by_batch(x_NO.float())
        with torch.no_grad():
            self.mean_O.lerp_(mean_O.detach(), MOMENTUM)
            self.variance_O.lerp_(variance_O.detach(), MOMENTUM)
        return y_NO

    def _by_batch(self, x_NO: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if torch.compiler.is_compiling():
            variance_O, mean_O = torch.var_mean(x_NO, dim=0, correction=0)
            return dice(x_NO, mean_O, variance_O, self.alpha_O), mean_O, variance_O
        found: tuple[Tensor, Tensor, Tensor] = _OfBatch.apply(x_NO, self.alpha_O)  # type: ignore[no-untyped-call]
        return found


def dice(x_NO: Tensor, mean_O: Tensor, variance_O: Tensor, alpha_O: Tensor) -> Tensor:
    """Equation 3 of the paper, by the statistics given: y_NO."""
    share_NO = torch.sigmoid((x_NO - mean_O) * (variance_O + EPSILON).rsqrt())
    return x_NO * (alpha_O + share_NO * (1.0 - alpha_O))


class _OfBatch(torch.autograd.Function):
    """Dice by the statistics of the batch itself: a fifth of the time that autograd takes for the same formulas."""

    @staticmethod
    def forward(ctx: Any, x_NO: Tensor, alpha_O: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        one_N = x_NO.new_ones(min(len(x_NO), STRIP))
        mean_O = torch.stack([one_N[: len(x)] @ x for x in torch.split(x_NO, STRIP)]).sum(0) / len(x_NO)
        z_NO, y_NO, variance_O = torch.empty_like(x_NO), torch.empty_like(x_NO), torch.zeros_like(mean_O)
        for x, z, y in zip(*(torch.split(whole, STRIP) for whole in (x_NO, z_NO, y_NO)), strict=True):
            torch.sub(x, mean_O, out=z)
            variance_O += one_N[: len(x)] @ torch.mul(z, z, out=y)
        variance_O /= len(x_NO)
        scale_O = (variance_O + EPSILON).rsqrt()
        for x, z, y in zip(*(torch.split(whole, STRIP) for whole in (x_NO, z_NO, y_NO)), strict=True):
            torch.sigmoid(z.mul_(scale_O), out=y)
            y.mul_(1.0 - alpha_O).add_(alpha_O).mul_(x)
        ctx.save_for_backward(x_NO, z_NO, scale_O, alpha_O)
        ctx.mark_non_differentiable(mean_O, variance_O)
        return y_NO, mean_O, variance_O

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        # With s = alpha + (1 - alpha) p: dx = s dy + what comes through z, which is normalised as in a batch norm.
        x_NO, z_NO, scale_O, alpha_O = ctx.saved_tensors
        one_N = x_NO.new_ones(min(len(x_NO), STRIP))
        dx_NO, dz_NO = torch.empty_like(x_NO), torch.empty_like(x_NO)
        dalpha_O, dz_sum_O, dzz_sum_O = (torch.zeros_like(alpha_O) for _ in range(3))
        for x, z, dy, dx, dz in zip(
            *(torch.split(whole, STRIP) for whole in (x_NO, z_NO, gradients[0].contiguous(), dx_NO, dz_NO)), strict=True
        ):
            one, share = one_N[: len(x)], torch.sigmoid(z)
            torch.mul(share, 1.0 - alpha_O, out=dx).add_(alpha_O).mul_(dy)
            rest = 1.0 - share
            torch.mul(dy, x, out=dz).mul_(rest)
            dalpha_O += one @ dz
            dz.mul_(share).mul_(1.0 - alpha_O)
            dz_sum_O += one @ dz
            dzz_sum_O += one @ torch.mul(dz, z, out=rest)
        dz_mean_O, dzz_mean_O = dz_sum_O / len(x_NO), dzz_sum_O / len(x_NO)
        for z, dx, dz in zip(*(torch.split(whole, STRIP) for whole in (z_NO, dx_NO, dz_NO)), strict=True):
            dx.add_(dz.sub_(dz_mean_O).addcmul_(z, dzz_mean_O, value=-1.0).mul_(scale_O))
        return dx_NO, dalpha_O
