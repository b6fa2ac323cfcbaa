"""Exact sparse optimizers: only the rows that a batch touched move, each once, by the sum of its gradients.

Shapes: R rows of a table, E its width, N looked-up ids, U distinct ids among them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RowGradient:
    """The gradient of a table: distinct rows, in ascending order, and the gradient of each."""

    rows_U: Tensor
    values_UE: Tensor

    @classmethod
    def of(cls, gradient: Tensor) -> RowGradient:
        """Coalesce a sparse gradient: occurrences of one row are added up, in the order of the batch.

        Adagrad needs (sum g)^2; adding up g^2 of each occurrence is another optimizer.

        Example:
            >>> ids, values = torch.tensor([[2, 0, 2]]), torch.tensor([[1.0], [5.0], [3.0]])
            >>> found = RowGradient.of(torch.sparse_coo_tensor(ids, values, (4, 1), check_invariants=True))
            >>> found.rows_U.tolist(), found.values_UE.tolist()
            ([0, 2], [[5.0], [4.0]])
        """
        # The public accessors want a coalesced tensor, which torch would make by a slower sort.
        ids_N, values_NE = gradient._indices()[0], gradient._values()  # noqa: SLF001
        rows_U, place_N = torch.unique(ids_N, return_inverse=True)
        summed_UE = values_NE.new_zeros(rows_U.shape[0], values_NE.shape[1])
        return cls(rows_U, summed_UE.index_add_(0, place_N, values_NE))


class SparseOptimizer(ABC):
    """How touched rows move. The state is a set of named tensors beside the table, kept by the caller."""

    @abstractmethod
    def fresh(self, weight_RE: Tensor) -> dict[str, Tensor]:
        """The state before the first step."""

    @abstractmethod
    def update(
        self, weight_RE: Tensor, state: dict[str, Tensor], gradient: RowGradient, *, rate: float, step: int
    ) -> None:
        """Move the rows and their state in place; `step` counts from 1."""


class Sgd(SparseOptimizer):
    """Stochastic gradient descent: `w -= rate * g`."""

    def fresh(self, weight_RE: Tensor) -> dict[str, Tensor]:
        """Nothing to remember."""
        return {}

    def update(
        self, weight_RE: Tensor, state: dict[str, Tensor], gradient: RowGradient, *, rate: float, step: int
    ) -> None:
        """Move the touched rows."""
        weight_RE.index_add_(0, gradient.rows_U, gradient.values_UE, alpha=-rate)


class Adagrad(SparseOptimizer):
    """Adagrad with one accumulator a weight: `a += g^2`, `w -= rate * g / (sqrt(a) + eps)` (Duchi et al., 2011).

    A row that the batch did not touch has no gradient, and with g = 0 dense Adagrad moves nothing either: on touched
    rows alone it is the dense optimizer.
    """

    eps = 1e-10

    def fresh(self, weight_RE: Tensor) -> dict[str, Tensor]:
        """One accumulator a weight, at zero."""
        return {"accumulator": torch.zeros_like(weight_RE)}

    def update(
        self, weight_RE: Tensor, state: dict[str, Tensor], gradient: RowGradient, *, rate: float, step: int
    ) -> None:
        """Move the touched rows and their accumulators."""
        rows_U, values_UE = gradient.rows_U, gradient.values_UE
        sum_UE = state["accumulator"].index_select(0, rows_U).addcmul_(values_UE, values_UE)
        state["accumulator"].index_copy_(0, rows_U, sum_UE)
        weight_RE.index_add_(0, rows_U, values_UE / (sum_UE.sqrt_() + self.eps), alpha=-rate)


class RowwiseAdagrad(SparseOptimizer):
    """Adagrad with one accumulator a row: `a += mean(g^2)`, `w -= rate * g / (sqrt(a) + eps)`.

    Equal to the exact row-wise Adagrad of FBGEMM (Naumov et al., 2019; Duchi et al., 2011).
    """

    eps = 1e-8

    def fresh(self, weight_RE: Tensor) -> dict[str, Tensor]:
        """One accumulator a row, at zero."""
        return {"accumulator": weight_RE.new_zeros(weight_RE.shape[0])}

    def update(
        self, weight_RE: Tensor, state: dict[str, Tensor], gradient: RowGradient, *, rate: float, step: int
    ) -> None:
        """Move the touched rows and their accumulators."""
        rows_U, values_UE = gradient.rows_U, gradient.values_UE
        sum_U = state["accumulator"].index_select(0, rows_U).add_(values_UE.square().mean(1))
        state["accumulator"].index_copy_(0, rows_U, sum_U)
        scaled_UE = values_UE / (sum_U.sqrt_() + self.eps).unsqueeze(1)
        weight_RE.index_add_(0, rows_U, scaled_UE, alpha=-rate)


class Adam(SparseOptimizer):
    """Adam on touched rows alone: moments of other rows stay, as in `torch.optim.SparseAdam` (Kingma & Ba, 2015)."""

    beta1, beta2, eps = 0.9, 0.999, 1e-8

    def fresh(self, weight_RE: Tensor) -> dict[str, Tensor]:
        """Two moments a weight, at zero."""
        return {"first": torch.zeros_like(weight_RE), "second": torch.zeros_like(weight_RE)}

    def update(
        self, weight_RE: Tensor, state: dict[str, Tensor], gradient: RowGradient, *, rate: float, step: int
    ) -> None:
        """Move the touched rows and their moments."""
        rows_U, values_UE = gradient.rows_U, gradient.values_UE
        first_UE = state["first"].index_select(0, rows_U).lerp_(values_UE, 1 - self.beta1)
        second_UE = state["second"].index_select(0, rows_U).lerp_(values_UE.square(), 1 - self.beta2)
        state["first"].index_copy_(0, rows_U, first_UE)
        state["second"].index_copy_(0, rows_U, second_UE)
        size = rate * (1 - self.beta2**step) ** 0.5 / (1 - self.beta1**step)
        weight_RE.index_add_(0, rows_U, first_UE / (second_UE.sqrt_() + self.eps), alpha=-size)


class RowwiseAdam(SparseOptimizer):
    """Adam on touched rows with one second moment a row, of the mean of `g^2`.

    It needs half the memory of `Adam`. FBGEMM calls it partial row-wise Adam.
    """

    beta1, beta2, eps = 0.9, 0.999, 1e-8

    def fresh(self, weight_RE: Tensor) -> dict[str, Tensor]:
        """A first moment a weight and a second moment a row, at zero."""
        return {"first": torch.zeros_like(weight_RE), "second": weight_RE.new_zeros(weight_RE.shape[0])}

    def update(
        self, weight_RE: Tensor, state: dict[str, Tensor], gradient: RowGradient, *, rate: float, step: int
    ) -> None:
        """Move the touched rows and their moments."""
        rows_U, values_UE = gradient.rows_U, gradient.values_UE
        first_UE = state["first"].index_select(0, rows_U).lerp_(values_UE, 1 - self.beta1)
        second_U = state["second"].index_select(0, rows_U).lerp_(values_UE.square().mean(1), 1 - self.beta2)
        state["first"].index_copy_(0, rows_U, first_UE)
        state["second"].index_copy_(0, rows_U, second_U)
        size = rate * (1 - self.beta2**step) ** 0.5 / (1 - self.beta1**step)
        weight_RE.index_add_(0, rows_U, first_UE / (second_U.sqrt_() + self.eps).unsqueeze(1), alpha=-size)


EMBEDDING_OPTIMIZERS: dict[str, type[SparseOptimizer]] = {
    "adagrad": Adagrad,
    "rowwise_adagrad": RowwiseAdagrad,
    "adam": Adam,
    "rowwise_adam": RowwiseAdam,
    "sgd": Sgd,
}
