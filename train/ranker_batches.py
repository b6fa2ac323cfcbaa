"""The rows that a ranker learns from and is judged by, with what they get on the way: histories and negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from core.dataset import ASIDE, ITEM_INDEX, SPLITS, TIME, USER_INDEX, Dataset
from train.batch import Features
from train.batches import Batches
from train.histories import Histories
from train.history_batches import WithHistory
from train.item_columns import item_columns
from train.loader import Loader
from train.negatives.base import Liked
from train.negatives.rows import WithNegatives, replaced_columns
from train.pairs import Interactions, Pairs, entity_batch, read_interactions
from train.spec import RankerSpec


@dataclass(frozen=True)
class RankerRows:
    """Where batches for a ranker come from.

    Attributes:
        dataset: The data set.
        features: What the ranker reads, histories among it.
        spec: Its settings.
        device: Where batches lie.
    """

    dataset: Dataset
    features: Features
    spec: RankerSpec
    device: torch.device

    def shuffled(self, splits: Sequence[str], batch_size: int, *, seed: int) -> Batches:
        """Rows of one split or several to learn from, in another order and with other negatives each epoch."""
        return self._batches(splits, batch_size, seed=seed)

    def in_order(self, split: str, batch_size: int) -> Batches:
        """Rows of a split to be judged by, in order; negatives are the same each time and for each model."""
        return self._batches([split], batch_size, seed=None)

    def _batches(self, splits: Sequence[str], batch_size: int, *, seed: int | None) -> Batches:
        stored = replace(self.features, lists=tuple(one for one in self.features.lists if one.of is None))
        batches: Batches = Loader(
            self._files(splits),
            stored,
            batch_size,
            shuffle=seed is not None,
            seed=seed or 0,
            extra=self._extra,
            device=self.device,
        )
        if self.spec.history is not None:
            known = self._histories.during(splits[-1]).to(self.device)
            batches = WithHistory(batches, known, self._met_columns, longest=self.spec.history.longest)
        return batches if self.spec.negatives is None else self._with_negatives(batches, splits, batch_size, seed)

    @property
    def _extra(self) -> Sequence[str]:
        wanted = [] if self.spec.history is None else [USER_INDEX, TIME]
        wanted += [] if self.spec.negatives is None else [USER_INDEX, ITEM_INDEX]
        return tuple(dict.fromkeys(wanted))

    @cached_property
    def _interactions(self) -> Interactions:
        return read_interactions(self.dataset)

    @cached_property
    def _histories(self) -> Histories:
        assert self.spec.history is not None
        return Histories.of(self._interactions, positives_only=self.spec.history.positives_only)

    @cached_property
    def _met_columns(self) -> dict[str, Tensor]:
        """History list -> the id of each item."""
        known = item_columns(self.dataset)
        table = entity_batch(self.dataset, "item", known).to(self.device)
        return {
            one.name: table.ids_BF[:, known.categorical.index(one.of)].contiguous()
            for one in self.features.lists
            if one.of is not None
        }

    def _files(self, splits: Sequence[str]) -> list[Path]:
        return [file for split in splits for file in self.dataset.files(split)]

    def _with_negatives(self, batches: Batches, splits: Sequence[str], batch_size: int, seed: int | None) -> Batches:
        assert self.spec.negatives is not None
        columns = replaced_columns(self.dataset, self.features)
        liked = Liked(self._known_pairs(splits[-1]))
        return WithNegatives(
            batches,
            batch_size=batch_size,
            features=self.features,
            table=entity_batch(self.dataset, "item", columns).to(self.device),
            columns=columns,
            liked=liked,
            count=self.spec.negatives.count,
            seed=self.spec.negatives.seed if seed is None else seed,
            split=splits[-1],
            frozen=seed is None,
            full=self._rows_of(splits, liked.sets.sizes == liked.items),
        )

    def _known_pairs(self, split: str) -> Pairs:
        """What each user is known to like: of training what training rows say, later what was said until then."""
        every, number = self._interactions, SPLITS.index(split)
        known_P = every.positive_P & (every.split_P <= number)
        if number:
            known_P |= every.positive_P & (every.split_P >= ASIDE)
        user_P, item_P = (one[known_P].to(self.device) for one in (every.user_P, every.item_P))
        return Pairs(user_P, item_P, users=every.users, items=every.items)

    def _rows_of(self, splits: Sequence[str], chosen_U: Tensor) -> int:
        """How many rows of some splits belong to some users."""
        if not bool(chosen_U.any()):
            return 0
        user = pl.scan_parquet(self._files(splits)).select(USER_INDEX).collect()[USER_INDEX]
        return int(chosen_U.cpu()[torch.from_numpy(user.to_numpy().copy()).to(torch.int64)].sum())
