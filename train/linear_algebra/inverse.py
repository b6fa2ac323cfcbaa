"""The inverse of a large symmetric matrix in its own memory.

Shapes: N rows and columns, K of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.precision import fast_products

BLOCK = 1024
"""Smaller ones make slower products; the time of larger ones goes into their own inverses."""


def negative_inverse_(matrix_NN: Tensor, *, block: int = BLOCK) -> Tensor:
    """Replace a symmetric positive definite matrix by minus its inverse, in place.

    The symmetric sweep (Goodnight, 1979, A Tutorial on the SWEEP Operator), block by block. A matrix that is swept on
    some blocks stays symmetric, so only its lower half is worked on: N^3 operations, nearly all of them in products
    of large matrices, where a Cholesky inverse would hold the matrix twice. Blocks of the diagonal are inverted in
    float64.

    Args:
        matrix_NN: float32; its upper half is not read.
        block: Rows at a time.

    Returns:
        `matrix_NN` itself, both halves of it.

    Raises:
        torch.linalg.LinAlgError: The matrix is not positive definite.

    Example:
        >>> negative_inverse_(torch.tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
        [[-0.5, 0.0], [0.0, -0.25]]
    """
    blocks = [slice(start, start + block) for start in range(0, len(matrix_NN), block)]
    with fast_products(matrix_NN.device):
        for own in blocks:
            _sweep(matrix_NN, own, blocks)
    for own in blocks:
        matrix_NN[own.start : own.stop, own.stop :] = matrix_NN[own.stop :, own.start : own.stop].T
        matrix_NN[own, own] = matrix_NN[own, own].tril() + matrix_NN[own, own].tril(-1).T
    return matrix_NN


def _sweep(matrix_NN: Tensor, own: slice, blocks: list[slice]) -> None:
    """Sweep one block. With its columns C and its inverse D: A - C D C^T elsewhere, C D in the columns, -D in it."""
    column_NK = torch.cat([matrix_NN[own, : own.start].T, matrix_NN[own.start :, own]])
    inverse_KK = _inverse(matrix_NN[own, own])
    moved_NK = column_NK @ inverse_KK
    column_NK[own] = 0.0
    for rows in blocks:
        matrix_NN[rows, : rows.stop] -= moved_NK[rows] @ column_NK[: rows.stop].T
    matrix_NN[own, : own.start] = moved_NK[: own.start].T
    matrix_NN[own.stop :, own] = moved_NK[own.stop :]
    matrix_NN[own, own] = -inverse_KK


def _inverse(matrix_KK: Tensor) -> Tensor:
    lower_KK = matrix_KK.tril().double()
    whole_KK = lower_KK + lower_KK.tril(-1).T
    return torch.cholesky_inverse(torch.linalg.cholesky(whole_KK)).to(matrix_KK.dtype)
