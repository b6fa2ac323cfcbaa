"""The exponential moving average of all weights, at no cost for rows of tables that a batch does not touch.

Shapes: R rows of a table, E its width, U rows that a batch touches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Average:
    """Averages of weights: `a <- d a + (1 - d) w` after each step, from `a = w` on.

    The decay d rises: `d_t = min(decay, (1 + t) / (10 + t))`, t counted from 0, so that the first weights, which are
    hardly trained, are soon forgotten (the warm start of TensorFlow's moving average; Polyak & Juditsky, 1992, for why
    averages are better).

    A row of an embedding table stays where it is until a batch touches it. With w constant for the steps u + 1 .. t the
    recursion has the closed form `a_t = w + (a_u - w) d_(u+1) .. d_t`: a row is brought up to date right before it
    moves, and the whole table once before it is used. So a step costs two more reads and one write of the rows that it
    touches. The product is kept as a sum of logarithms, one float64 a row.

    Args:
        tables: Weights [R, E] of which a step moves some rows.
        dense: Weights of which a step moves all.
        decay: Between 0 and 1: about `1 / (1 - decay)` steps count.

    Example:
        >>> weight = nn.Parameter(torch.zeros(1))
        >>> average = Average({}, {"w": weight}, decay=0.5)
        >>> for step in range(2):
        ...     weight.data += 1.0
        ...     average.step({}, step)
        >>> average.swap()
        >>> weight.item()  # decays 1/10 and 2/11: (0 * 1/10 + 1 * 9/10) * 2/11 + 2 * 9/11
        1.7999999523162842
    """

    def __init__(self, tables: Mapping[str, nn.Parameter], dense: Mapping[str, nn.Parameter], decay: float) -> None:
        self._tables, self._dense, self._decay = dict(tables), dict(dense), decay
        self._averages = {name: weight.detach().clone() for name, weight in {**tables, **dense}.items()}
        self._seen = {
            name: torch.zeros(len(weight), dtype=torch.float64, device=weight.device) for name, weight in tables.items()
        }
        self._log = 0.0  # of the product of all decays so far; `_seen` holds it as each row saw it last

    @torch.no_grad()
    def catch_up(self, name: str, rows_U: Tensor) -> None:
        """Bring rows of a table up to date; they are about to move."""
        weight_UE = self._tables[name].index_select(0, rows_U)
        average_UE = self._averages[name].index_select(0, rows_U)
        self._averages[name].index_copy_(0, rows_U, self._later(weight_UE, average_UE, self._seen[name][rows_U]))

    @torch.no_grad()
    def step(self, touched: Mapping[str, Tensor], step: int) -> None:
        """Take in the weights after a step.

        Args:
            touched: The rows of each table that moved, after `catch_up`.
            step: Number of the step, from 0.
        """
        decay = min(self._decay, (1.0 + step) / (10.0 + step))
        self._log += math.log(decay)
        for name, rows_U in touched.items():
            average_UE, weight_UE = (one.index_select(0, rows_U) for one in (self._averages[name], self._tables[name]))
            self._averages[name].index_copy_(0, rows_U, average_UE.lerp_(weight_UE, 1.0 - decay))
            self._seen[name][rows_U] = self._log
        for name, weight in self._dense.items():
            self._averages[name].lerp_(weight, 1.0 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights and their averages; once more, and everything is as it was.

        Nothing is copied. The averages of tables are brought up to date first.
        """
        for name, weight in self._tables.items():
            self._averages[name] = self._later(weight.data, self._averages[name], self._seen[name])
            self._seen[name].fill_(self._log)
        for name, weight in {**self._tables, **self._dense}.items():
            weight.data, self._averages[name] = self._averages[name], weight.data

    def _later(self, weight_RE: Tensor, average_RE: Tensor, seen_R: Tensor) -> Tensor:
        """Averages of rows that have not moved since `seen_R`."""
        left_R = torch.exp(self._log - seen_R).to(weight_RE.dtype)
        return torch.lerp(weight_RE, average_RE, left_R.unsqueeze(1))

    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold."""
        found = {f"average:{name}": value for name, value in self._averages.items()}
        found |= {f"seen:{name}": value for name, value in self._seen.items()}
        return {**found, "log": torch.tensor(self._log, dtype=torch.float64)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave, on whatever device it lies."""
        for prefix, values in (("average", self._averages), ("seen", self._seen)):
            for name, value in values.items():
                value.copy_(state[f"{prefix}:{name}"])
        self._log = float(state["log"])
