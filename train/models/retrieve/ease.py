"""EASE: each item's interactions as a linear function of those of all others.

Shapes: I items, S items of a strip, N neighbours.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from train.linear_algebra.counts import largest, met_together, strips
from train.linear_algebra.inverse import negative_inverse_
from train.models.retrieve.base import CountedModel, Facts, Reads, Scores, Sizes, Towers
from train.models.retrieve.item_item import DenseItems, SparseItems


class EaseSpec(CountedModel):
    """The matrix B with a zero diagonal that minimises |X - X B|^2 + l2 |B|^2, where X marks who met what.

    P = (X^T X + l2 I)^-1 and B = I - P diag(1 / diag P). Time grows with the cube of the catalogue, memory with its
    square: 4 bytes times items squared while it is made (7 GB for 41,000 items).

    Source: Steck, 2019, Embarrassingly Shallow Autoencoders for Sparse Data, equations 2 to 8.

    Attributes:
        l2: Penalty on the weights; some hundreds.
        neighbours: Keep so many weights of each column, the largest in size, and rank by them alone; None: keep all.
    """

    kind: Literal["ease"] = "ease"
    reads: ClassVar[frozenset[Reads]] = frozenset({Reads.HISTORY})
    l2: Annotated[float, Field(gt=0.0)] = 500.0
    neighbours: Annotated[int, Field(gt=0)] | None = None

    def build(self, sizes: Sizes) -> DenseItems | SparseItems:
        """Make scores in which no item speaks for another."""
        return DenseItems(sizes.items) if self.neighbours is None else SparseItems(sizes.items, self.neighbours)

    def fill(self, module: Towers | Scores, facts: Facts) -> None:
        """Count, and invert."""
        if isinstance(module, DenseItems):
            inverse_II = self._inverse(module.weight_II, facts)
            inverse_II.div_(-inverse_II.diagonal().clone()).fill_diagonal_(0.0)
        elif isinstance(module, SparseItems):
            inverse_II = self._inverse(torch.empty(module.items, module.items, device=module.weight_K.device), facts)
            module.hold(*_kept(inverse_II, module.neighbours))
        else:
            raise TypeError(f"ease fills scores, got {type(module).__name__}")

    def _inverse(self, matrix_II: Tensor, facts: Facts) -> Tensor:
        """Set a matrix to -P, in place."""
        for start, count_SI in met_together(facts.positives):
            matrix_II[start : start + len(count_SI)] = count_SI
        matrix_II.diagonal().add_(self.l2)
        return negative_inverse_(matrix_II)


def _kept(inverse_II: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    """The largest weights of each column of B, from -P, whose rows are its columns."""
    near, weight = [], []
    for start, stop in strips(len(inverse_II)):
        strip_SI = inverse_II[start:stop] / -inverse_II.diagonal()[start:stop].unsqueeze(1)
        size_SI, own_S = strip_SI.abs(), torch.arange(stop - start, device=strip_SI.device)
        size_SI[own_S, start + own_S] = -1.0
        near.append(largest(size_SI, neighbours))
        weight.append(strip_SI.gather(1, near[-1]))
    return torch.cat(near), torch.cat(weight)
