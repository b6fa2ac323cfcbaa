"""The compressed interaction network of xDeepFM.

Shapes: B rows, G vectors of a row's features, E their width, M = B * E, H maps that go into a layer, O maps that come
out of it, P = H * G products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ELEMENTS = 1_000_000
"""Products that are held at a time: 4 MB of float32 stay in the caches, and the matrix product runs at its full rate
from half of that on."""


class Cin(nn.Module):
    """`X^k_o = sum_hg W^k_ohg (X^{k-1}_h * X^0_g)`, elementwise products of vectors (Lian et al., 2018, eq. 6).

    Each map is a weighted sum of products of vectors, so interactions stay between whole vectors; every map that
    is an output is summed over its elements (eq. 7). No activation, as in the paper's experiments.

    Args:
        vectors: G.
        maps: O of each layer.
        split: Half of a layer's maps go into the next layer and the other half are outputs, as in the authors' code
            (the middle one of an odd number does both). False: all of them do both. The last layer's are all outputs.
    """

    def __init__(self, vectors: int, maps: Sequence[int], *, split: bool = True) -> None:
        super().__init__()
        self.passed = [(count + 1) // 2 if split else count for count in maps[:-1]]
        self.shown = [(count + 1) // 2 if split else count for count in maps[:-1]] + [maps[-1]]
        self.outputs = sum(self.shown)
        sizes = [vectors, *self.passed]
        fresh = (torch.empty(count, into * vectors) for into, count in zip(sizes, maps, strict=True))
        self.weights = nn.ParameterList(nn.init.xavier_normal_(weight) for weight in fresh)

    def forward(self, vectors_BGE: Tensor) -> Tensor:
        """vectors_BGE -> sums_BO."""
        rows, vectors, width = vectors_BGE.shape
        first_MG = vectors_BGE.transpose(1, 2).reshape(rows * width, vectors)
        maps_MH, sums = first_MG, []
        for weight_OP, shown, passed in zip(self.weights, self.shown, [*self.passed, 0], strict=True):
            maps_MO = weighed_products(maps_MH, first_MG, weight_OP)
            sums.append(maps_MO[:, -shown:].reshape(rows, width, shown).sum(1))
            maps_MH = maps_MO[:, :passed]
        return torch.cat(sums, dim=1)


def weighed_products(left_MH: Tensor, right_MG: Tensor, weight_OP: Tensor) -> Tensor:
    """`sum_hg weight[o, h * G + g] left[m, h] right[m, g]` -> [M, O], never with all M * H * G products at once.

    Example:
        >>> weighed_products(torch.tensor([[2.0]]), torch.tensor([[3.0, 5.0]]), torch.tensor([[1.0, 10.0]]))
        tensor([[106.]])
    """
    if torch.compiler.is_exporting():  # a graph has no strips of rows: it goes feature by feature
        return _by_feature(left_MH, right_MG, weight_OP)
    parts = (left_MH, right_MG, weight_OP)
    device = weight_OP.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        parts = (left_MH.to(dtype), right_MG.to(dtype), weight_OP.to(dtype))
    weighed_MO: Tensor = _WeighedProducts.apply(*parts)  # type: ignore[no-untyped-call]
    return weighed_MO


class _WeighedProducts(torch.autograd.Function):
    """Works strip by strip, and makes the products again for the gradients instead of keeping them."""

    @staticmethod
    def forward(ctx: Any, left_MH: Tensor, right_MG: Tensor, weight_OP: Tensor) -> Tensor:
        ctx.save_for_backward(left_MH, right_MG, weight_OP)
        weighed_MO = left_MH.new_empty(left_MH.shape[0], weight_OP.shape[0])
        for strip in _strips(left_MH, weight_OP):
            weighed_MO[strip] = _products(left_MH[strip], right_MG[strip]) @ weight_OP.t()
        return weighed_MO

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_MO: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        left_MH, right_MG, weight_OP = ctx.saved_tensors
        to_left_MH, to_right_MG = torch.empty_like(left_MH), torch.empty_like(right_MG)
        # Added up over many strips: in float32 even where the strips are bfloat16.
        to_weight_OP = torch.zeros_like(weight_OP, dtype=torch.promote_types(weight_OP.dtype, torch.float32))
        for strip in _strips(left_MH, weight_OP):
            left_NH, right_NG, gradient_NO = left_MH[strip], right_MG[strip], gradient_MO[strip]
            to_weight_OP += gradient_NO.t() @ _products(left_NH, right_NG)
            to_products_NHG = (gradient_NO @ weight_OP).view(-1, left_NH.shape[1], right_NG.shape[1])
            to_left_MH[strip] = (to_products_NHG @ right_NG.unsqueeze(2)).squeeze(2)
            to_right_MG[strip] = (left_NH.unsqueeze(1) @ to_products_NHG).squeeze(1)
        return to_left_MH, to_right_MG, to_weight_OP


def _by_feature(left_MH: Tensor, right_MG: Tensor, weight_OP: Tensor) -> Tensor:
    vectors = right_MG.shape[1]
    weight_GHO = weight_OP.view(-1, left_MH.shape[1], vectors).permute(2, 1, 0)
    weighed_MO: Tensor = (left_MH * right_MG[:, :1]) @ weight_GHO[0]
    for place in range(1, vectors):
        weighed_MO = weighed_MO + (left_MH * right_MG[:, place : place + 1]) @ weight_GHO[place]
    return weighed_MO


def _products(left_NH: Tensor, right_NG: Tensor) -> Tensor:
    return (left_NH.unsqueeze(2) * right_NG.unsqueeze(1)).flatten(1)


def _strips(left_MH: Tensor, weight_OP: Tensor) -> list[slice]:
    rows, step = left_MH.shape[0], max(1, ELEMENTS // weight_OP.shape[1])
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
