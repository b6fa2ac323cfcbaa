"""Figures as means over users: what a run keeps of each user, so that it can be compared with others.

Shapes: Q users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from core.dataset import USER_INDEX

ROWS = "rows"
WEIGHED = ("logloss", "gauc")
"""Figures in which a user counts by the number of rows; in the others every user counts once."""
KEYS = ("side", "model", "split", USER_INDEX)
"""The columns of `metrics_users.parquet` that tell what a line speaks of."""


@dataclass(frozen=True)
class Sample:
    """A value of each figure for each user; a figure is their (weighted) mean.

    Attributes:
        user_Q: Rows of the users, rising.
        value: float64 [Q] by the figure's name; NaN: the user has none and does not count.
        rows_Q: The weights of the figures in WEIGHED; None where there is no such figure.

    Example:
        >>> user, value = torch.tensor([4, 9, 11]), torch.tensor([1.0, 0.0, torch.nan])
        >>> sample = Sample(user, {"hr@1": value})
        >>> sample.weight("hr@1").tolist()
        [1.0, 1.0, 0.0]
    """

    user_Q: Tensor
    value: Mapping[str, Tensor]
    rows_Q: Tensor | None = None

    def weight(self, name: str) -> Tensor:
        """How much each user counts in a figure, float64 [Q]."""
        there_Q = ~self.value[name].isnan()
        if name in WEIGHED and self.rows_Q is not None:
            return self.rows_Q.to(torch.float64) * there_Q
        return there_Q.to(torch.float64)

    def over(self, user_Q: Tensor) -> Sample:
        """The same over more users, of whom the others don't count.

        Args:
            user_Q: Rising, with all of ours among them.
        """
        place = torch.searchsorted(user_Q, self.user_Q)

        def spread(value: Tensor, fill: float) -> Tensor:
            wide_Q = torch.full((len(user_Q),), fill, dtype=value.dtype)
            wide_Q[place] = value
            return wide_Q

        rows_Q = None if self.rows_Q is None else spread(self.rows_Q, 0)
        return Sample(user_Q, {name: spread(value, torch.nan) for name, value in self.value.items()}, rows_Q)


@dataclass(frozen=True)
class Part:
    """Figures of a part of what is judged, and what each user adds to them; None where the data know no users."""

    figures: dict[str, float]
    sample: Sample | None


def frame_of(samples: Mapping[tuple[str, str, str], Sample]) -> pl.DataFrame:
    """The lines of `metrics_users.parquet`.

    Args:
        samples: By side (`ranker`, `retriever`), model and split.
    """
    frames = []
    for (side, model, split), sample in samples.items():
        columns = {name: pl.Series(value.numpy()).fill_nan(None) for name, value in sample.value.items()}
        rows = {} if sample.rows_Q is None else {ROWS: pl.Series(sample.rows_Q.numpy()).cast(pl.Int64)}
        users = pl.Series(USER_INDEX, sample.user_Q.numpy()).cast(pl.Int32)
        told = [pl.lit(text).alias(name) for name, text in zip(KEYS, (side, model, split), strict=False)]
        frames.append(pl.DataFrame([users]).select(*told, USER_INDEX).with_columns(**rows, **columns))
    keys = {name: pl.Int32 if name == USER_INDEX else pl.String for name in KEYS}
    return pl.concat([pl.DataFrame(schema=keys), *frames], how="diagonal")


def samples_of(frame: pl.DataFrame) -> dict[tuple[str, str, str], Sample]:
    """Undo `frame_of`."""
    found = {}
    for (side, model, split), part in frame.group_by(KEYS[:3], maintain_order=True):
        names = [name for name in part.columns if name not in (*KEYS, ROWS) and part[name].null_count() < part.height]
        value = {name: torch.from_numpy(part[name].fill_null(float("nan")).to_numpy().copy()) for name in names}
        rows = (
            torch.from_numpy(part[ROWS].to_numpy().copy())
            if ROWS in part.columns and not part[ROWS].null_count()
            else None
        )
        user_Q = torch.from_numpy(part[USER_INDEX].to_numpy().copy()).to(torch.int64)
        found[str(side), str(model), str(split)] = Sample(user_Q, value, rows)
    return found
