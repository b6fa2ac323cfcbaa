"""What each row's user met before it, beside the row.

Shapes: B rows, I items, J elements of all histories together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import Field
from torch import Tensor

from core.dataset import TIME, USER_INDEX, Dataset
from core.errors import UserError
from core.spec import Spec
from train.batch import Batch, Features, ListFeature
from train.batches import Batches
from train.histories import Histories
from train.item_columns import item_columns

WHERE = "train.ranker.history"


class HistorySpec(Spec):
    """What a ranker is told of the items that a row's user met strictly earlier than the row.

    Attributes:
        longest: How many of the newest it is told of.
        features: Which features of those items: categorical ones that are made of the item alone. None: all of them,
            the item's own id among them.
        positives_only: Only items whose row was positive. Where it becomes known late whether a row is (bought again
            within two weeks), this would tell the future: then say false.
    """

    longest: Annotated[int, Field(gt=0)] = 50
    features: tuple[str, ...] | None = None
    positives_only: bool = True


def with_lists(dataset: Dataset, features: Features, spec: HistorySpec) -> Features:
    """The features of a ranker and, in `lists`, `history.NAME` for each feature NAME of the items that were met.

    Raises:
        UserError: The data don't tell users, items and moments, or lack a feature of items that was named.
    """
    _require_moments(dataset)
    known = item_columns(dataset)
    sizes = dict(zip(known.categorical, known.cardinalities, strict=True))
    names = tuple(sizes) if spec.features is None else spec.features
    for name in names:
        if name not in sizes:
            having = ", ".join(sizes) or "none"
            cure = f"choose among the categorical features that are made of the item alone: {having}"
            raise UserError(f"{name!r} is no such feature of items", where=f"{WHERE}.features", cure=cure)
    if not names:
        cure = "add the item's id to etl.features ({columns: [ITEM], ops: [categorify]}), or leave the history out"
        raise UserError("no categorical feature is made of the item alone", where=WHERE, cure=cure)
    lists = tuple(ListFeature(list_name(name), sizes[name], of=name) for name in names)
    clash = {one.name for one in lists} & set(features.names)
    if clash:
        raise UserError(f"a feature is already called {min(clash)!r}", where=WHERE, cure="rename it")
    return replace(features, lists=(*features.lists, *lists))


def list_name(feature: str) -> str:
    """What the list of a feature of the items that were met is called.

    Example:
        >>> list_name("genre")
        'history.genre'
    """
    return f"history.{feature}"


def _require_moments(dataset: Dataset) -> None:
    if dataset.has_entities and TIME in dataset.schema().names:
        return
    cure = "name columns for all three in data.roles (user, item, time) and run the etl stage again, or leave it out"
    what = "a history needs users, items and the moment of each row, and this data set doesn't tell them"
    raise UserError(what, where=WHERE, cure=cure)


class WithHistory:
    """Batches with what each row's user met strictly before the row's moment, in `Batch.lists`.

    Args:
        batches: Their `extra` holds USER_INDEX and TIME.
        histories: What may be known, on the device of the batches.
        columns: Name of a list -> the id that each item has there.
        longest: How many of the newest items.

    Example:
        >>> import torch
        >>> from train.pairs import Interactions
        >>> user, item, time = torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([5, 6])
        >>> log = Interactions(user, item, torch.tensor([True, True]), torch.tensor([0, 0]), time, users=1, items=3)
        >>> class One:
        ...     rows, steps = 2, 1
        ...     def epoch(self, number, start=0):
        ...         yield Batch(torch.zeros(2, 0), torch.zeros(2, 0), extra={USER_INDEX: user, TIME: time})
        >>> columns = {"history.genre": torch.tensor([7, 8, 9])}
        >>> batch = next(WithHistory(One(), Histories.of(log), columns, longest=50).epoch(0))
        >>> batch.lists["history.genre"].values_J.tolist(), batch.lists["history.genre"].sizes.tolist()
        ([8], [0, 1])
    """

    def __init__(self, batches: Batches, histories: Histories, columns: Mapping[str, Tensor], *, longest: int) -> None:
        self._batches, self._histories, self._columns, self._longest = batches, histories, columns, longest
        self.rows, self.steps = batches.rows, batches.steps

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on."""
        for batch in self._batches.epoch(number, start):
            met = self._histories.before(batch.extra[USER_INDEX], batch.extra[TIME], longest=self._longest)
            item_J = met.values_J
            lists = {name: met.replaced(column_I.index_select(0, item_J)) for name, column_I in self._columns.items()}
            yield replace(batch, lists={**batch.lists, **lists})
