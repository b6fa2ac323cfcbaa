"""Rows that never happened, for rankers of data that hold nothing but what did.

Shapes: B rows that happened, N negatives of each, R = B * (1 + N) rows, I items, F columns of ids, D of numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from core.dataset import ITEM_INDEX, USER_INDEX, Dataset
from core.errors import UserError
from core.schema import Tag
from core.spec import Spec
from train.batch import Batch, Features
from train.batches import Batches
from train.item_columns import item_columns
from train.negatives.base import Liked

WHERE = "train.ranker.negatives"
CHUNK = 4096
"""Rows whose random numbers are drawn together."""


class RowNegativesSpec(Spec):
    """Negatives for a ranker whose rows are all positive: each row again with other items in the item's place.

    Attributes:
        kind: Drawn evenly from the items that the user is not known to like.
        count: How many to a row, of the validation and test split too.
        seed: What those of the validation and test split are drawn from: the same for every training, so that figures
            can be compared.
    """

    kind: Literal["uniform"] = "uniform"
    count: Annotated[int, Field(gt=0)] = 4
    seed: Annotated[int, Field(ge=0)] = 0


def replaced_columns(dataset: Dataset, features: Features) -> Features:
    """The features that change with the item; those of the user and of the context stay as they are in the row.

    Raises:
        UserError: The data know no users and items, or have several targets; or a feature goes with the item and can't
            be told of another one.
    """
    if len(features.targets) > 1:
        cure = "give etl.target: {every_row: true} alone, or leave the negatives out"
        raise UserError("a row that never happened has no further targets", where=WHERE, cure=cure)
    if not dataset.has_entities:
        cure = "name them in data.roles (user: ..., item: ...), or leave the negatives out"
        raise UserError("negatives need users and items, and this data set has none", where=WHERE, cure=cure)
    schema, own = dataset.schema(), item_columns(dataset)
    for name in (one for one in features.names if one in schema.names and one not in own.names):
        tags = schema[name].tags
        if Tag.ITEM in tags or not tags & {Tag.USER, Tag.CONTEXT}:
            raise UserError(
                f"the feature {name!r} goes with the row's item, and nobody knows what it is of another item",
                where=WHERE,
                cure="leave it out of etl.features: only features of the user, of the context and of the item "
                "alone are known of drawn items",
            )
    return own


class Points:
    """Random numbers in [0, 1) for the rows of an epoch: the same in whatever batches the rows come.

    Args:
        seed: What they are drawn from.
        what: Split and epoch, or anything else that is to have its own numbers.
        count: Numbers a row.

    Example:
        >>> points = Points(7, "valid", 2)
        >>> whole = points.rows(0, 5000)
        >>> torch.equal(torch.cat([points.rows(0, 4000), points.rows(4000, 5000)]), whole)
        True
    """

    def __init__(self, seed: int, what: str, count: int) -> None:
        self._seed, self._what, self._count = seed, what, count
        self._chunk = lru_cache(maxsize=2)(self._drawn)

    def rows(self, start: int, stop: int) -> Tensor:
        """Those of some rows: float64 [stop - start, count]."""
        first = start // CHUNK
        parts = [self._chunk(number) for number in range(first, -(-stop // CHUNK))]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        return whole[start - first * CHUNK : stop - first * CHUNK]

    def _drawn(self, number: int) -> Tensor:
        digest = hashlib.sha256(f"{self._seed} {self._what} {number}".encode()).digest()
        random = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
        return torch.rand(CHUNK, self._count, dtype=torch.float64, generator=random)


class WithNegatives:
    """Batches of positive rows, each followed by its negatives: the row with another item, target 0.

    What is drawn is a function of the seed, the split, the epoch and the place of the row in the epoch alone. Of a user
    who likes every item nothing can be drawn; such rows stand alone.

    Args:
        batches: Positive rows; their `extra` holds USER_INDEX and ITEM_INDEX.
        batch_size: Rows of each of them but the last.
        features: Which columns they hold.
        table: The features of every item, row by row.
        columns: Which features those are.
        liked: What is never drawn for a user.
        count: Negatives a row.
        seed: What they are drawn from.
        split: In which split.
        frozen: The same negatives in each epoch.
        full: Rows of users who like every item.
    """

    def __init__(  # noqa: PLR0913 - what is replaced, what must not be drawn, and from what; all keyword-only
        self,
        batches: Batches,
        *,
        batch_size: int,
        features: Features,
        table: Batch,
        columns: Features,
        liked: Liked,
        count: int,
        seed: int,
        split: str,
        frozen: bool,
        full: int = 0,
    ) -> None:
        self._batches, self._batch_size, self._table, self._liked = batches, batch_size, table, liked
        self._count, self._seed, self._split, self._frozen = count, seed, split, frozen
        self._ids = _places(features.categorical, columns.categorical)
        self._dense = _places(features.continuous, columns.continuous)
        self._lists = [one.name for one in columns.lists if one.name in features.names]
        self.rows, self.steps = batches.rows * (1 + count) - full * count, batches.steps

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on."""
        points = Points(self._seed, self._split if self._frozen else f"{self._split} {number}", self._count)
        for step, batch in enumerate(self._batches.epoch(number, start), start=start):
            first = step * self._batch_size
            point_BN = points.rows(first, first + len(batch)).to(batch.ids_BF.device)
            yield self._with_others(batch, point_BN)

    def _with_others(self, batch: Batch, point_BN: Tensor) -> Batch:
        user_B, own_B = (batch.extra[name].to(torch.int64) for name in (USER_INDEX, ITEM_INDEX))
        left_B1 = (self._liked.items - self._liked.sets.sizes[user_B]).unsqueeze(1)
        nth_BN = torch.minimum((point_BN * left_B1).to(torch.int64), (left_B1 - 1).clamp(min=0))
        other_BN = self._liked.other(user_B, nth_BN).clamp(max=self._liked.items - 1)
        item_BR = torch.cat([own_B.unsqueeze(1), other_BN], dim=1)
        there_BR = torch.cat([torch.ones_like(left_B1, dtype=torch.bool), (left_B1 > 0).expand_as(other_BN)], dim=1)
        row_R, place_R = there_BR.nonzero(as_tuple=True)
        return self._exchanged(batch.pick(row_R), item_BR[there_BR], (place_R == 0).to(torch.float32))

    def _exchanged(self, rows: Batch, item_R: Tensor, target_R: Tensor) -> Batch:
        """Rows with other items: every column of the item is read from the catalogue, that of the row's own too."""
        for own, columns, table in (
            (rows.ids_BF, self._ids, self._table.ids_BF),
            (rows.dense_BD, self._dense, self._table.dense_BD),
        ):
            for place, column in columns:
                own[:, place] = table[:, column].index_select(0, item_R).to(own.dtype)
        lists = {name: self._table.lists[name].pick(item_R) for name in self._lists}
        extra = {**rows.extra, ITEM_INDEX: item_R}
        return replace(rows, target_B=target_R, extra=extra, lists={**rows.lists, **lists})


def _places(names: tuple[str, ...], own: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where each of `own` that is among `names` stands, in both."""
    return [(names.index(name), column) for column, name in enumerate(own) if name in names]
