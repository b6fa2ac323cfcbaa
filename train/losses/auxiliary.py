"""What a model asks for in training beside the loss of its logits."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Auxiliary(Protocol):
    """A module with a loss of its own."""

    def auxiliary(self) -> Tensor | None:
        """The weighted loss that belongs to the last forward pass in training, once; None: there is none."""


def with_auxiliary(loss: Tensor, module: nn.Module) -> Tensor:
    """A loss and what the module adds to it; for most modules that is nothing.

    Example:
        >>> import torch
        >>> class Picky(nn.Module):
        ...     def auxiliary(self):
        ...         return torch.tensor(0.5)
        >>> with_auxiliary(torch.tensor(1.0), Picky()), with_auxiliary(torch.tensor(1.0), nn.ReLU())
        (tensor(1.5000), tensor(1.))
    """
    own = module.auxiliary() if isinstance(module, Auxiliary) else None
    return loss if own is None else loss + own
