"""Users, items and what happened between them, as tensors.

Shapes: P interactions, N rows of one side (users or items), F categorical features, D continuous features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from core.dataset import FOLD_IN, ITEM_INDEX, SPLIT, SPLITS, TARGET, TIME, USER_INDEX, Dataset
from core.errors import UserError
from core.schema import OTHER_ROWS, Tag
from train.batch import Batch, Features
from train.determinism import epoch_random
from train.item_sets import ItemSets
from train.loader import Loader
from train.read import AGAIN

ENTITY = "__entity__"
"""Name in `Batch.extra` of a row's number in its entity table."""
SIDES = {"user": Tag.USER, "item": Tag.ITEM}


@dataclass(frozen=True)
class Interactions:
    """Every interaction of a data set.

    Attributes:
        user_P: Row of the user.
        item_P: Row of the item.
        positive_P: Whether the target is above one half.
        split_P: Index into SPLITS, or what stands in its place.
        time_P: When it was, in whole numbers that rise with time; zero where nobody knows.
        users: Number of users in the catalogue.
        items: Number of items in the catalogue.
    """

    user_P: Tensor
    item_P: Tensor
    positive_P: Tensor
    split_P: Tensor
    time_P: Tensor
    users: int
    items: int

    def positives(self, split: str) -> tuple[Tensor, Tensor]:
        """Users and items of the positive interactions of a split, in the order of the file."""
        chosen = self.positive_P & (self.split_P == SPLITS.index(split))
        return self.user_P[chosen], self.item_P[chosen]

    def pairs(self, split: str) -> Pairs:
        """The positive interactions of a split, to learn from."""
        return Pairs(*self.positives(split), users=self.users, items=self.items)

    def wanted(self, split: str) -> ItemSets:
        """What each user is to be given: the positives of a split."""
        return ItemSets.of(*self.positives(split), users=self.users, items=self.items)

    def before(self, split: str) -> ItemSets:
        """What each user has seen, liked or not, in the splits before this one, and what is folded in."""
        chosen = (self.split_P < SPLITS.index(split)) | (self.split_P == FOLD_IN)
        return ItemSets.of(self.user_P[chosen], self.item_P[chosen], users=self.users, items=self.items)

    def joined(self) -> Interactions:
        """The same with the validation split counted among the training split, as a refit learns from them.

        Of users who are held out to choose, what is folded in counts too.
        """
        valid_P = self.split_P == SPLITS.index("valid")
        chooses_U = torch.bincount(self.user_P[valid_P], minlength=self.users) > 0
        both_P = valid_P | ((self.split_P == FOLD_IN) & chooses_U[self.user_P])
        return replace(self, split_P=self.split_P.masked_fill(both_P, SPLITS.index("train")))

    def to(self, device: torch.device) -> Interactions:
        """The same on a device."""
        user_P, item_P, positive_P = self.user_P.to(device), self.item_P.to(device), self.positive_P.to(device)
        split_P, time_P = self.split_P.to(device), self.time_P.to(device)
        return Interactions(user_P, item_P, positive_P, split_P, time_P, users=self.users, items=self.items)


@dataclass(frozen=True)
class Pairs:
    """Pairs to learn from: user `user_P[p]` liked item `item_P[p]`.

    Attributes:
        user_P: Rows of users, int64.
        item_P: Rows of items, int64.
        users: Number of users in the catalogue.
        items: Number of items in the catalogue.
    """

    user_P: Tensor
    item_P: Tensor
    users: int
    items: int

    def __len__(self) -> int:
        return len(self.user_P)


@dataclass(frozen=True)
class Tables:
    """The features of every user and of every item, row by row."""

    user: Batch
    item: Batch

    def to(self, device: torch.device) -> Tables:
        """The same on a device."""
        return Tables(self.user.to(device), self.item.to(device))


class PairLoader:
    """Shuffled batches of pairs; their `extra` holds USER_INDEX and ITEM_INDEX, and no features.

    The order of an epoch is a function of the number of pairs, the seed and the epoch's number alone. The last batch
    may be shorter.

    Args:
        pairs: The pairs, on the device where the batches are to lie.
        batch_size: Pairs a batch.
        seed: What the order is drawn from.

    Example:
        >>> pairs = Pairs(torch.tensor([0, 1, 1]), torch.tensor([5, 5, 6]), users=2, items=7)
        >>> [len(batch) for batch in PairLoader(pairs, 2, seed=0).epoch(0)]
        [2, 1]
    """

    def __init__(self, pairs: Pairs, batch_size: int, *, seed: int) -> None:
        self._pairs, self._batch_size, self._seed = pairs, batch_size, seed
        self.rows = len(pairs)
        self.steps = -(-len(pairs) // batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from step `start` on."""
        order_P = torch.randperm(self.rows, generator=epoch_random(self._seed, number))
        order_P = order_P.to(self._pairs.user_P.device)
        for begin in range(start * self._batch_size, self.rows, self._batch_size):
            chosen_B = order_P[begin : begin + self._batch_size]
            user_B, item_B = self._pairs.user_P[chosen_B], self._pairs.item_P[chosen_B]
            none_B0 = torch.empty(len(chosen_B), 0, device=chosen_B.device)
            yield Batch(none_B0.to(torch.int64), none_B0, extra={USER_INDEX: user_B, ITEM_INDEX: item_B})


def read_interactions(dataset: Dataset) -> Interactions:
    """Read `interactions.parquet`.

    Raises:
        UserError: The data set has no users and items, or the file is damaged.
    """
    if not dataset.has_entities:
        raise UserError(
            "a candidate generator needs users and items, and this data set has none",
            where=str(dataset.path),
            cure="name them in data.roles (user: ..., item: ...) or leave out train.retriever",
        )
    frame = _read(dataset.interactions_file, [USER_INDEX, ITEM_INDEX, SPLIT, TARGET, TIME])
    sizes = [_height(dataset.entity_file(side)) for side in ("users", "items")]
    for name, size in zip((USER_INDEX, ITEM_INDEX), sizes, strict=True):
        low, high = frame.select(pl.col(name).min().alias("low"), pl.col(name).max().alias("high")).row(0)
        if frame.height and (low is None or low < 0 or high >= size):
            raise UserError(
                f"{name} must lie in [0, {size}), got [{low}, {high}]",
                where=str(dataset.interactions_file),
                cure=AGAIN,
            )
    columns = [torch.from_numpy(frame[name].to_numpy().copy()) for name in (USER_INDEX, ITEM_INDEX, SPLIT)]
    positive = torch.from_numpy((frame[TARGET] > 0.5).fill_null(value=False).to_numpy().copy())
    user, item, split = columns
    time = torch.from_numpy(frame[TIME].cast(pl.Int64).fill_null(0).to_numpy().copy())
    return Interactions(user.long(), item.long(), positive, split, time, users=sizes[0], items=sizes[1])


def side_features(dataset: Dataset, side: str) -> Features:
    """The features of `user` or `item`, in the order of the schema.

    Those that depend on other rows too (a user's history, a target encoding) are not among them.
    """
    schema = dataset.schema().select(SIDES[side])
    return Features.of(schema.keep(column.name for column in schema if not column.properties.get(OTHER_ROWS)))


def entity_batch(dataset: Dataset, side: str, features: Features) -> Batch:
    """The features of every `user` or `item`, in the order of the entity file; `extra[ENTITY]` counts the rows.

    Raises:
        UserError: The file is missing or damaged, holds a null or a NaN, or an id lies outside its table.
    """
    path, rows = dataset.features_file(side), _height(dataset.entity_file(f"{side}s"))
    if features.names:
        loader = Loader([path], features, rows, labelled=False)
        if loader.rows != rows:
            raise UserError(f"{loader.rows} rows, {rows} expected", where=str(path), cure=AGAIN)
        batch = next(iter(loader))
    else:
        batch = Batch(torch.empty(rows, 0, dtype=torch.int32), torch.empty(rows, 0))
    return replace(batch, extra={ENTITY: torch.arange(rows)})


def read_tables(dataset: Dataset, user: Features, item: Features) -> Tables:
    """Read the features of every user and every item.

    Raises:
        UserError: As `entity_batch`.
    """
    return Tables(entity_batch(dataset, "user", user), entity_batch(dataset, "item", item))


def take(batch: Batch, row_B: Tensor) -> Batch:
    """Some rows of a batch, in the order asked for."""
    return batch.pick(row_B)


def _read(path: Path, names: list[str]) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=names)
    except FileNotFoundError:
        raise UserError("there is no such file", where=str(path), cure=AGAIN) from None
    except pl.exceptions.PolarsError as error:
        raise UserError(f"the file cannot be read ({_line(error)})", where=str(path), cure=AGAIN) from None


def _height(path: Path) -> int:
    try:
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except (FileNotFoundError, pl.exceptions.PolarsError) as error:
        raise UserError(f"the file cannot be read ({_line(error)})", where=str(path), cure=AGAIN) from None


def _line(error: Exception) -> str:
    """The first line of an error: Polars adds its plan below."""
    return str(error).partition("\n")[0]
