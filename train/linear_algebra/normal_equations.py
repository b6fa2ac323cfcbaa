"""Vectors of one side by least squares, those of the other side being given.

Shapes: R rows of one side, C rows of the other, V dimensions, J pairs, B rows of a block, L longest list of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from train.jagged import Jagged
from train.precision import fast_products

BUDGET = 1 << 22
"""Numbers of a block: 16 MiB of float32."""


@dataclass(frozen=True)
class Penalty:
    """What the loss of `factors` holds beside the pairs that met.

    Attributes:
        unobserved: Weight of a pair that did not meet.
        l2: Penalty on the vectors.
        exponent: How it grows with the number of pairs.
    """

    unobserved: float
    l2: float
    exponent: float

    def of(self, met_R: Tensor, others: int) -> Tensor:
        """The penalty on each row: l2 * (met + unobserved * others)^exponent."""
        return self.l2 * (met_R + self.unobserved * others) ** self.exponent


def factors(lists: Jagged, other_CV: Tensor, penalty: Penalty) -> Tensor:
    """The vector of each row that minimises the loss: (G + sum of y y^T + penalty I) x = sum of y.

    G = unobserved * Y^T Y is common to all; the sums run over what the row met. Source: Rendle et al., 2022,
    Revisiting the Performance of iALS on Item Recommendation Benchmarks, equation 5.

    Args:
        lists: What each row met: rows of `other_CV`, each once.
        other_CV: Vectors of the other side, float32.
        penalty: Of the loss.

    Returns:
        vector_RV; zero for a row that met nothing.

    Example:
        >>> one = factors(Jagged.of([[0], []]), torch.ones(1, 1), Penalty(unobserved=0.5, l2=0.5, exponent=0.0))
        >>> one.tolist()
        [[0.5], [0.0]]
    """
    met_R = lists.sizes
    vector_RV = other_CV.new_zeros(len(lists), other_CV.shape[1])
    # Rows of about equal length share a block, so that little is padded.
    order_R = torch.argsort(met_R, stable=True)
    met = met_R[order_R].tolist()
    with fast_products(other_CV.device):
        common_VV = penalty.unobserved * (other_CV.T @ other_CV)
        start = sum(size == 0 for size in met)
        while start < len(met):
            stop = _stop(met, start, width=other_CV.shape[1])
            row_B = order_R[start:stop]
            vector_RV[row_B] = _solved(lists.pick(row_B), other_CV, common_VV, penalty)
            start = stop
    return vector_RV


def _stop(met: list[int], start: int, *, width: int) -> int:
    """Where a block ends whose lists, padded to the longest, and matrices stay within the budget; `met` rises."""
    stop = start + 1
    while stop < len(met) and (stop + 1 - start) * width * max(met[stop], width) <= BUDGET:
        stop += 1
    return stop


def _solved(lists: Jagged, other_CV: Tensor, common_VV: Tensor, penalty: Penalty) -> Tensor:
    met_B = lists.sizes
    index_BL, there_BL = lists.padded(int(met_B.max()))
    met_BLV = other_CV[index_BL] * there_BL.unsqueeze(2)
    matrix_BVV = torch.baddbmm(common_VV, met_BLV.transpose(1, 2), met_BLV)
    matrix_BVV.diagonal(dim1=1, dim2=2).add_(penalty.of(met_B, len(other_CV)).unsqueeze(1))
    lower_BVV = torch.linalg.cholesky(matrix_BVV)
    return torch.cholesky_solve(met_BLV.sum(dim=1).unsqueeze(2), lower_BVV).squeeze(2)
