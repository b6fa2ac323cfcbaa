"""What a model sees: one batch of features as tensors.

Shapes live in names: B rows of the batch, F categorical features, D continuous features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.errors import UserError
from core.schema import Schema, Tag


@dataclass(frozen=True)
class Features:
    """Which columns feed a model, and their sizes. The order of names is the order of tensor columns.

    Attributes:
        categorical: Names of the id columns.
        cardinalities: Number of ids of each of them.
        continuous: Names of the float columns.
    """

    categorical: tuple[str, ...]
    cardinalities: tuple[int, ...]
    continuous: tuple[str, ...]

    @classmethod
    def of(cls, schema: Schema, *sides: Tag) -> Features:
        """The features of a schema, or only those that carry one of the tags `sides` (user, item).

        Raises:
            UserError: One of them holds lists; names it.
        """
        chosen = [column for column in schema if not sides or column.tags.intersection(sides)]
        for column in chosen:
            if column.is_list and column.tags.intersection({Tag.CATEGORICAL, Tag.CONTINUOUS}):
                raise UserError(
                    "the models of this version read single values, and the feature holds lists",
                    where=f"feature {column.name}",
                    cure="leave it out of etl.features, or make columns of it with list_columns",
                )
        categorical = [column for column in chosen if Tag.CATEGORICAL in column.tags]
        return cls(
            tuple(column.name for column in categorical),
            tuple(int(column.cardinality or 0) for column in categorical),
            tuple(column.name for column in chosen if Tag.CONTINUOUS in column.tags),
        )


@dataclass(frozen=True)
class Batch:
    """Features of B rows.

    Attributes:
        ids_BF: int32 or int64, each column within its own cardinality.
        dense_BD: float32.
        target_B: float32, absent at inference.
        extra: further per-row tensors by name (user and item indices), never read by a ranker.
    """

    ids_BF: Tensor
    dense_BD: Tensor
    target_B: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.ids_BF.shape[0])

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with each of its tensors changed."""
        return Batch(
            change(self.ids_BF),
            change(self.dense_BD),
            None if self.target_B is None else change(self.target_B),
            {name: change(values) for name, values in self.extra.items()},
        )

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device; the copy does not block when the source is pinned."""
        return self.map(lambda values: values.to(device, non_blocking=True))

    def rows(self, start: int, stop: int) -> Batch:
        """Some of its rows, as views."""
        return self.map(lambda values: values[start:stop])

    @staticmethod
    def join(batches: Sequence[Batch]) -> Batch:
        """The rows of several batches of one form, one after the other."""
        first = batches[0]
        targets = [batch.target_B for batch in batches if batch.target_B is not None]
        return Batch(
            torch.cat([batch.ids_BF for batch in batches]),
            torch.cat([batch.dense_BD for batch in batches]),
            torch.cat(targets) if targets else None,
            {name: torch.cat([batch.extra[name] for batch in batches]) for name in first.extra},
        )
