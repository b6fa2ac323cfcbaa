"""Shuffled batches of users, each with what the user liked.

Shapes: U users, B users of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from train.batch import Batch
from train.determinism import epoch_random
from train.histories import HISTORY
from train.jagged import Jagged


class UserLoader:
    """Users who liked something, in an order that is a function of the seed and the epoch's number alone.

    Args:
        histories: What each user liked, on the device where the batches are to lie.
        batch_size: Users a batch.
        seed: What the order is drawn from.

    Example:
        >>> loader = UserLoader(Jagged.of([[5, 6], [], [7], [8]]), 2, seed=0)
        >>> [len(batch) for batch in loader.epoch(0)]
        [2, 1]
    """

    def __init__(self, histories: Jagged, batch_size: int, *, seed: int) -> None:
        self._histories, self._batch_size, self._seed = histories, batch_size, seed
        self._user_U = histories.sizes.nonzero().squeeze(1)
        self.rows = len(self._user_U)
        self.steps = -(-self.rows // batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from step `start` on."""
        order_U = torch.randperm(self.rows, generator=epoch_random(self._seed, number)).to(self._user_U.device)
        for begin in range(start * self._batch_size, self.rows, self._batch_size):
            user_B = self._user_U[order_U[begin : begin + self._batch_size]]
            none_B0 = torch.empty(len(user_B), 0, device=user_B.device)
            yield Batch(none_B0.to(torch.int64), none_B0, lists={HISTORY: self._histories.pick(user_B)})
