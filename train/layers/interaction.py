"""Pairwise products of feature vectors.

Shapes: B rows, G vectors a row, E their width, P = G (G - 1) / 2 pairs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class DotInteraction(nn.Module):
    """The inner product of each unordered pair of distinct vectors of a row (Naumov et al., 2019, section 2.1).

    Example:
        >>> vectors_BGE = torch.tensor([[[1.0, 0.0], [2.0, 3.0], [0.0, 5.0]]])
        >>> DotInteraction(3)(vectors_BGE)
        tensor([[ 2.,  0., 15.]])
    """

    pairs_P: Tensor
    pair_GG: Tensor

    def __init__(self, vectors: int) -> None:
        super().__init__()
        first, second = torch.tril_indices(vectors, vectors, offset=-1)
        self.register_buffer("pairs_P", first * vectors + second, persistent=False)
        self.outputs = vectors * (vectors - 1) // 2
        pair_GG = torch.full((vectors, vectors), self.outputs)
        pair_GG[first, second] = pair_GG[second, first] = torch.arange(self.outputs)
        self.register_buffer("pair_GG", pair_GG, persistent=False)

    def forward(self, vectors_BGE: Tensor) -> Tensor:
        """vectors_BGE -> products_BP."""
        if vectors_BGE.requires_grad and not torch.compiler.is_compiling():
            products_BP: Tensor = _Products.apply(vectors_BGE, self.pairs_P, self.pair_GG)  # type: ignore[no-untyped-call]
            return products_BP
        return _products(vectors_BGE, self.pairs_P)


def _products(vectors_BGE: Tensor, pairs_P: Tensor) -> Tensor:
    products_BGG = vectors_BGE @ vectors_BGE.transpose(1, 2)
    return products_BGG.flatten(1).index_select(1, pairs_P)


class _Products(torch.autograd.Function):
    """The same with a gradient in one product: a vector's is the sum of its partners, each times its pair's gradient.

    Autograd would make two matrices of gradients, mostly zeros, and multiply both. `pair_GG` names the pair of two
    vectors; a vector and itself are the pair behind the last one, whose gradient is zero.
    """

    @staticmethod
    def forward(ctx: Any, vectors_BGE: Tensor, pairs_P: Tensor, pair_GG: Tensor) -> Tensor:
        products_BP = _products(vectors_BGE, pairs_P)
        ctx.save_for_backward(vectors_BGE, pair_GG)
        ctx.kind = products_BP.dtype  # bfloat16 where products are
        return products_BP

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BP: Tensor) -> tuple[Tensor, None, None]:
        vectors_BGE, pair_GG = ctx.saved_tensors
        padded_BP1 = torch.nn.functional.pad(grad_BP, (0, 1))
        grad_BGG = padded_BP1.index_select(1, pair_GG.flatten()).view(-1, *pair_GG.shape)
        found_BGE = grad_BGG @ vectors_BGE.to(ctx.kind)
        return found_BGE.to(vectors_BGE.dtype), None, None
