"""A ranker that ranks the whole catalogue for every user: what is known of a user beside what is known of an item.

What the user met is known as it was when the split begins.

Shapes: Q queries, I items, N pairs of a query and an item, F categorical features, C cases, M items of a case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import polars as pl
import torch
from torch import Tensor, nn

from core.dataset import Dataset
from core.errors import UserError
from train.batch import Batch, Features
from train.evaluation.catalogue import Catalogue
from train.evaluation.found import Found
from train.evaluation.ranking import best, block_size
from train.evaluation.scorer import Scorer
from train.histories import Histories
from train.item_sets import ItemSets
from train.pairs import entity_batch
from train.ranker import Ranker
from train.targets import deciding

ROWS = 1 << 14
"""Pairs scored at a time: always as many, so that no setting moves a digit."""
SIDES = ("user", "item")


def evaluate_ranker_catalogue(catalogue: Catalogue, ranker: Ranker) -> Found:
    """Let a ranker rank every item for every user, beside the baselines: what `evaluate` gives under `catalogue`.

    Raises:
        UserError: A feature depends on more than the user or the item alone.
    """
    device = catalogue.interactions.item_P.device
    places = feature_places(catalogue.dataset, ranker.features)
    user, item = (
        entity_batch(catalogue.dataset, side, _part(ranker.features, [one == side for one in places])).to(device)
        for side in SIDES
    )
    join, module = Join.of(ranker.features, places), ranker.module.to(device)
    columns = _history_columns(ranker.features, places, item)

    def asked(split: str, user_Q: Tensor) -> Scorer:
        users = user.pick(user_Q)
        if ranker.spec.history is not None:
            known = Histories.of(catalogue.interactions, positives_only=ranker.spec.history.positives_only)
            met = known.at(split, longest=ranker.spec.history.longest).pick(user_Q)
            lists = {name: met.replaced(column_I.index_select(0, met.values_J)) for name, column_I in columns.items()}
            users = replace(users, lists={**users.lists, **lists})
        return RankerScorer(module, users, item, join)

    kind = ranker.spec.model.kind
    return catalogue.judge("catalogue", kind, asked, who=f"ranker {kind} over the catalogue")


def feature_places(dataset: Dataset, features: Features) -> list[str]:
    """Whether each feature is one of the `user` or of the `item`, or `history`, in the order of `features.names`.

    Raises:
        UserError: Some are neither; names them.
    """
    known = {side: set(pl.scan_parquet(dataset.features_file(side)).collect_schema()) for side in SIDES}
    found = [next((side for side in SIDES if name in known[side]), "") for name in features.names]
    met = {one.name: one.of for one in features.history}
    found = [
        "history" if met.get(name) in known["item"] else side for name, side in zip(features.names, found, strict=True)
    ]
    lost = [name for name, side in zip(features.names, found, strict=True) if not side]
    if lost:
        raise UserError(
            f"the ranker reads {', '.join(lost)}, which no user and no item has alone: it depends on both, on other "
            "rows or on the moment",
            where="evaluate.ranker_catalogue",
            cure="leave such features out of etl.features, or judge the rows alone (ranker_catalogue: false)",
        )
    return found


def _part(features: Features, chosen: Sequence[bool]) -> Features:
    """Some of the features."""
    keep = [name for name, wanted in zip(features.names, chosen, strict=True) if wanted]
    sizes = dict(zip(features.categorical, features.cardinalities, strict=True))
    categorical = tuple(name for name in features.categorical if name in keep)
    return Features(
        categorical,
        tuple(sizes[name] for name in categorical),
        tuple(name for name in features.continuous if name in keep),
        tuple(one for one in features.lists if one.name in keep),
    )


def _history_columns(features: Features, places: Sequence[str], item: Batch) -> dict[str, Tensor]:
    """For each list of what the user met, the id that each item has there."""
    place = dict(zip(features.names, places, strict=True))
    own = [name for name in features.categorical if place[name] == "item"]
    return {one.name: item.ids_BF[:, own.index(one.of)] for one in features.history if one.of is not None}


@dataclass(frozen=True)
class Join:
    """How rows of users and rows of items become rows of a ranker.

    Attributes:
        id_F: For each categorical feature, its column in the ids of user and item side by side.
        number_D: The same of continuous features.
    """

    id_F: Tensor
    number_D: Tensor

    @classmethod
    def of(cls, features: Features, places: Sequence[str]) -> Join:
        """Find the columns."""
        side = dict(zip(features.names, places, strict=True))

        def columns(names: Sequence[str]) -> Tensor:
            beside = [name for each in SIDES for name in names if side[name] == each]
            return torch.tensor([beside.index(name) for name in names], dtype=torch.int64)

        return cls(columns(features.categorical), columns(features.continuous))

    def rows(self, user: Batch, item: Batch) -> Batch:
        """Row n of both side by side."""
        ids_NF = torch.cat([user.ids_BF, item.ids_BF], dim=1)[:, self.id_F.to(user.ids_BF.device)]
        dense_ND = torch.cat([user.dense_BD, item.dense_BD], dim=1)[:, self.number_D.to(user.dense_BD.device)]
        return Batch(ids_NF, dense_ND, lists={**user.lists, **item.lists})


@dataclass(frozen=True)
class RankerScorer:
    """By a ranker, pair by pair.

    Attributes:
        module: In evaluation mode.
        users: Features of the queries.
        catalogue: Features of every item.
        join: Puts both side by side.
    """

    module: nn.Module
    users: Batch
    catalogue: Batch
    join: Join

    @property
    def items(self) -> int:
        """Size of the catalogue."""
        return len(self.catalogue)

    @torch.inference_mode()
    def best(self, k: int, user_Q: Tensor, masked: ItemSets | None) -> Tensor:
        """See `Scorer.best`."""
        items, device = self.items, user_Q.device
        every = torch.arange(items, device=device)

        def score(start: int, stop: int) -> Tensor:
            row = torch.arange(start, stop, device=device)
            found_N = self._scored((stop - start) * items, lambda pair_N: (row[pair_N // items], every[pair_N % items]))
            return found_N.view(stop - start, items)

        block = block_size(items, device)
        return best(score, rows=len(user_Q), k=k, block=block, user_B=user_Q, masked=masked)[0]

    @torch.inference_mode()
    def scores(self, row_C: Tensor, item_CM: Tensor) -> Tensor:
        """See `Scorer.scores`."""
        item_N, many = item_CM.flatten(), item_CM.shape[1]
        found_N = self._scored(len(item_N), lambda pair_N: (row_C[pair_N // many], item_N[pair_N]))
        return found_N.view_as(item_CM)

    def _scored(self, pairs: int, of: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        """Score pairs of (row of a query, item), ROWS at a time.

        Raises:
            UserError: A score is NaN or infinite.
        """
        found = []
        for start in range(0, pairs, ROWS):
            pair_N = torch.arange(start, min(start + ROWS, pairs), device=self.users.ids_BF.device)
            row_N, item_N = of(pair_N)
            logit_N = deciding(self.module(self.join.rows(self.users.pick(row_N), self.catalogue.pick(item_N)))).float()
            found.append(logit_N if logit_N.ndim == 1 else logit_N[:, 0])
        score_N = torch.cat(found)
        if not bool(score_N.isfinite().all()):
            raise UserError("the ranker gives scores that are no numbers", cure="train it again")
        return score_N
