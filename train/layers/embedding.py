"""All embedding tables in one weight.

Shapes: B rows, F categorical features, E embedding width, R rows of all tables together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FusedEmbedding(nn.Module):
    """Embedding tables of one width, stacked in one weight: one lookup and one sparse gradient for all.

    Feature f owns the rows `offsets[f] : offsets[f] + cardinalities[f]`. The gradient of `weight` is sparse, so
    an optimizer of `train.optim` must move it. Fresh rows are uniform within +-1/sqrt(max(ids, width)): rows of
    large tables start small, as in the reference code of DLRM (Naumov et al., 2019), rows of tiny ones bounded.

    Example:
        >>> table = FusedEmbedding([3, 5], 4)
        >>> tuple(table(torch.tensor([[2, 4], [0, 0]])).shape)
        (2, 2, 4)
        >>> torch.equal(table(torch.tensor([[2, 4]]))[0, 1], table.weight[3 + 4])
        True
    """

    offsets_F: Tensor
    limits_F: Tensor

    def __init__(self, cardinalities: Sequence[int], width: int) -> None:
        super().__init__()
        sizes_F = torch.tensor(list(cardinalities), dtype=torch.int64)
        ends_F = sizes_F.cumsum(0)
        self.register_buffer("offsets_F", ends_F - sizes_F, persistent=False)
        self.register_buffer("limits_F", sizes_F, persistent=False)
        self.table = nn.Embedding(int(sizes_F.sum()), width, sparse=True, _weight=_fresh(cardinalities, width))

    @property
    def weight(self) -> Tensor:
        """All tables, [R, E]."""
        return self.table.weight

    @property
    def width(self) -> int:
        """Width of an embedding."""
        return self.table.embedding_dim

    def forward(self, ids_BF: Tensor) -> Tensor:
        """Look up ids (int32 or int64) that each lie within their feature's cardinality -> [B, F, E].

        The columns are those of the first features.

        Raises:
            ValueError: An id lies outside its table, where it would read another feature's rows (checked on
                the CPU and without `python -O`; the loader has already checked what it reads).
        """
        count = ids_BF.shape[1]
        if __debug__ and not torch.compiler.is_compiling() and ids_BF.device.type == "cpu":
            self._check(ids_BF, self.limits_F[:count])
        found_BFE: Tensor = self.table(ids_BF + self.offsets_F[:count])
        return found_BFE

    def of(self, feature: int, ids_J: Tensor) -> Tensor:
        """Look up ids of one feature -> [J, E].

        Raises:
            ValueError: As `forward`.
        """
        if __debug__ and not torch.compiler.is_compiling() and ids_J.device.type == "cpu":
            self._check(ids_J.unsqueeze(1), self.limits_F[feature : feature + 1])
        found_JE: Tensor = self.table(ids_J + self.offsets_F[feature])
        return found_JE

    @staticmethod
    def _check(ids_BF: Tensor, limits_F: Tensor) -> None:
        if ids_BF.numel() == 0:
            return
        low_F, high_F = torch.aminmax(ids_BF, dim=0)
        wrong_F = (low_F < 0) | (high_F >= limits_F)
        if bool(wrong_F.any()):
            feature = int(wrong_F.nonzero()[0])
            raise ValueError(
                f"ids of feature {feature} must lie in [0, {int(limits_F[feature])}), "
                f"got [{int(low_F[feature])}, {int(high_F[feature])}]"
            )


def _fresh(cardinalities: Sequence[int], width: int) -> Tensor:
    weight_RE = torch.empty(sum(cardinalities), width)
    start = 0
    for size in cardinalities:
        bound = max(size, width) ** -0.5
        weight_RE[start : start + size].uniform_(-bound, bound)
        start += size
    return weight_RE
