"""Shuffled batches of sequences, of nearly one length each.

Shapes: N sequences, B sequences of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from train.batch import Batch
from train.determinism import epoch_random
from train.histories import HISTORY
from train.jagged import Jagged

TOGETHER = 8
"""Batches whose sequences are sorted together: enough that a batch is nearly even, few enough that it is random."""


class SequenceBatches:
    """Batches of sequences under `lists[HISTORY]`, without features.

    Sequences are shuffled, sorted by length within every TOGETHER batches and cut; then the batches are shuffled. The
    order of an epoch is a function of the lengths, the seed and the epoch's number alone.

    Args:
        sequences: On the device where the batches are to lie.
        batch_size: Sequences a batch; the last one to be cut may be smaller.
        seed: What the order is drawn from.

    Example:
        >>> batches = SequenceBatches(Jagged.of([[1, 2], [3, 4, 5], [6, 7]]), 2, seed=0)
        >>> sorted(len(batch) for batch in batches.epoch(0))
        [1, 2]
    """

    def __init__(self, sequences: Jagged, batch_size: int, *, seed: int) -> None:
        self._sequences, self._batch_size, self._seed = sequences, batch_size, seed
        self._size_N = sequences.sizes.cpu()
        self.rows = len(sequences)
        self.steps = -(-self.rows // batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from step `start` on."""
        order_N, cut_S = self._order(number)
        order_N = order_N.to(self._sequences.offsets_B1.device)
        for cut in cut_S[start:].tolist():
            chosen_B = order_N[cut * self._batch_size : (cut + 1) * self._batch_size]
            none_B0 = torch.empty(len(chosen_B), 0, device=chosen_B.device)
            yield Batch(none_B0.to(torch.int64), none_B0, lists={HISTORY: self._sequences.pick(chosen_B)})

    def _order(self, number: int) -> tuple[Tensor, Tensor]:
        """The order of the sequences, and that of the batches cut from it; drawn on the CPU for every device."""
        generator = epoch_random(self._seed, number)
        order_N = torch.randperm(self.rows, generator=generator)
        together_N = torch.arange(self.rows) // (self._batch_size * TOGETHER)
        key_N = together_N * (int(self._size_N.max()) + 1) + self._size_N[order_N]
        return order_N[torch.argsort(key_N, stable=True)], torch.randperm(self.steps, generator=generator)
