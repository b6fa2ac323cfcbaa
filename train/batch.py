"""What a model sees: one batch of features as tensors.

Shapes live in names: B rows of the batch, F categorical features, D continuous features, T targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from core.dataset import GOAL, TARGET
from core.errors import UserError
from core.schema import Schema, Tag
from train.jagged import Jagged


@dataclass(frozen=True)
class Target:
    """What a model predicts.

    Attributes:
        name: Its name in `etl.targets`; GOAL where the data have one target without a name.
        column: Its column in the files.
    """

    name: str = GOAL
    column: str = TARGET

    @property
    def known(self) -> bool:
        """Whether every row tells it; of a further target of the data some rows may not."""
        return self.column == TARGET


@dataclass(frozen=True)
class ListFeature:
    """A feature that holds a list of ids in each row.

    Attributes:
        name: Of the column.
        cardinality: Number of ids.
        of: The categorical feature whose ids it holds, and whose embeddings it shares: it is that feature of what the
            row's user met before, oldest first. None: the ids are its own.
    """

    name: str
    cardinality: int
    of: str | None = None


@dataclass(frozen=True)
class Features:
    """Which columns feed a model, and their sizes. The order of names is the order of tensor columns.

    Attributes:
        categorical: Names of the id columns.
        cardinalities: Number of ids of each of them.
        continuous: Names of the float columns.
        lists: Columns that hold a list of ids in each row.
        user_id: Which of the categorical columns is the user's own id; None: none is.
        item_id: The same of the item.
        targets: What is to be predicted; the first one decides wherever one must.
    """

    categorical: tuple[str, ...]
    cardinalities: tuple[int, ...]
    continuous: tuple[str, ...]
    lists: tuple[ListFeature, ...] = ()
    user_id: str | None = None
    item_id: str | None = None
    targets: tuple[Target, ...] = (Target(),)

    @classmethod
    def of(cls, schema: Schema, *sides: Tag) -> Features:
        """The features of a schema, or only those that carry one of the tags `sides` (user, item).

        Raises:
            UserError: One of them holds lists of real numbers; names it.
        """
        chosen = [column for column in schema if not sides or column.tags.intersection(sides)]
        for column in chosen:
            if column.is_list and Tag.CONTINUOUS in column.tags:
                raise UserError(
                    "models read lists of ids, and the feature holds lists of numbers",
                    where=f"feature {column.name}",
                    cure="leave it out of etl.features, make columns of it with list_columns, or cut the numbers "
                    "into bins with bucketize",
                )
        categorical = [column for column in chosen if Tag.CATEGORICAL in column.tags]
        told = [Target(str(one.properties.get(GOAL, GOAL)), one.name) for one in schema if Tag.TARGET in one.tags]
        single = [column for column in categorical if not column.is_list]
        return cls(
            tuple(column.name for column in single),
            tuple(int(column.cardinality or 0) for column in single),
            tuple(column.name for column in chosen if Tag.CONTINUOUS in column.tags),
            tuple(ListFeature(one.name, int(one.cardinality or 0)) for one in categorical if one.is_list),
            user_id=next((column.name for column in single if Tag.USER_ID in column.tags), None),
            item_id=next((column.name for column in single if Tag.ITEM_ID in column.tags), None),
            targets=tuple(told) if told and not sides else (Target(),),
        )

    def __post_init__(self) -> None:
        """Refuse a history of what is no feature.

        Raises:
            ValueError: A list is `of` a feature that is missing or has another number of ids.
        """
        sizes = dict(zip(self.categorical, self.cardinalities, strict=True))
        for one in self.lists:
            if one.of is not None and sizes.get(one.of) != one.cardinality:
                raise ValueError(
                    f"the list {one.name} has {one.cardinality} ids of the feature {one.of}, and the categorical "
                    f"features are {sizes}"
                )

    @property
    def history(self) -> tuple[ListFeature, ...]:
        """The lists that hold what a row's user met before: in each row they are equally long and belong together.

        Example:
            >>> met = ListFeature("history.item", 9, of="item")
            >>> Features(("item",), (9,), (), (ListFeature("tags", 5), met)).history == (met,)
            True
        """
        return tuple(one for one in self.lists if one.of is not None)

    @property
    def names(self) -> tuple[str, ...]:
        """Every column, in the order in which a model takes them."""
        return (*self.categorical, *self.continuous, *(one.name for one in self.lists))


@dataclass(frozen=True)
class Batch:
    """Features of B rows.

    Attributes:
        ids_BF: int32 or int64, each column within its own cardinality.
        dense_BD: float32.
        target_B: float32, absent at inference. Of several targets, the first; NaN where it isn't known.
        extra: further per-row tensors by name (user and item indices), never read by a ranker.
        lists: B lists of ids by name of their feature.
        targets_BT: float32, all of them where there are several; NaN where one isn't known.
    """

    ids_BF: Tensor
    dense_BD: Tensor
    target_B: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    lists: Mapping[str, Jagged] = field(default_factory=dict)
    targets_BT: Tensor | None = None

    @classmethod
    def zeros(cls, features: Features, rows: int) -> Batch:
        """Rows with id 0 and number 0 in each feature, and empty lists."""
        ids_BF = torch.zeros(rows, len(features.categorical), dtype=torch.int64)
        empty = Jagged(torch.zeros(0, dtype=torch.int64), torch.zeros(rows + 1, dtype=torch.int64))
        lists = {one.name: empty for one in features.lists}
        return cls(ids_BF, torch.zeros(rows, len(features.continuous)), lists=lists)

    def __len__(self) -> int:
        return int(self.ids_BF.shape[0])

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same rows with each tensor changed, as a move to a device does; `pick` and `rows` choose rows."""
        moved = self._by_row(change)
        return replace(moved, lists={name: lists.map(change) for name, lists in self.lists.items()})

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device; the copy does not block when the source is pinned."""
        return self.map(lambda values: values.to(device, non_blocking=True))

    def rows(self, start: int, stop: int) -> Batch:
        """Some of its rows, as views."""
        chosen = self._by_row(lambda values: values[start:stop])
        return replace(chosen, lists={name: lists.rows(start, stop) for name, lists in self.lists.items()})

    def pick(self, row_N: Tensor, by_row: Callable[[Tensor], Tensor] | None = None) -> Batch:
        """Some of its rows, in the order asked for; `by_row` does it for a tensor where there is a faster way."""
        chosen = self._by_row(by_row or (lambda values: values[row_N]))
        return replace(chosen, lists={name: lists.pick(row_N) for name, lists in self.lists.items()})

    @staticmethod
    def join(batches: Sequence[Batch]) -> Batch:
        """The rows of several batches of one form, one after the other."""
        first = batches[0]
        target = [batch.target_B for batch in batches if batch.target_B is not None]
        targets = [batch.targets_BT for batch in batches if batch.targets_BT is not None]
        return Batch(
            torch.cat([batch.ids_BF for batch in batches]),
            torch.cat([batch.dense_BD for batch in batches]),
            torch.cat(target) if target else None,
            {name: torch.cat([batch.extra[name] for batch in batches]) for name in first.extra},
            {name: Jagged.join([batch.lists[name] for batch in batches]) for name in first.lists},
            torch.cat(targets) if targets else None,
        )

    def _by_row(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """With each tensor changed that has a row a row of the batch; without lists."""
        return Batch(
            change(self.ids_BF),
            change(self.dense_BD),
            None if self.target_B is None else change(self.target_B),
            {name: change(values) for name, values in self.extra.items()},
            targets_BT=None if self.targets_BT is None else change(self.targets_BT),
        )
