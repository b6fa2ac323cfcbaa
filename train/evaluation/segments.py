"""Parts of the users and of the items, which figures are told of beside those of the whole.

Shapes: U users, I items.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from core.dataset import Dataset
from core.errors import UserError
from core.suggest import did_you_mean
from train.pairs import Interactions

HEAD = 0.2
"""Share of the positive training interactions that the head items hold."""
MOST = 12
"""Segments of a column, at most."""
PARTS = 4
"""Into how many parts of equal size many different numbers are cut."""
NONE, OTHER = "(none)", "(other)"


@dataclass(frozen=True)
class Segment:
    """Some users, or some items.

    Attributes:
        by: What tells them apart: `users` (new or returning), `items` (head or tail), or a column.
        name: Which of them.
        side: `user` or `item`.
        there: bool [U] or [I].
    """

    by: str
    name: str
    side: str
    there: Tensor


def segments(dataset: Dataset, interactions: Interactions, columns: Sequence[str]) -> list[Segment]:
    """New and returning users, head and tail items, and the values of raw columns of users or items.

    Args:
        dataset: Whose entity files hold the columns.
        interactions: All of them.
        columns: Names of columns, as `users.NAME` or `items.NAME` where both have one.

    Raises:
        UserError: There is no such column, both sides have it, or it holds neither text nor numbers.
    """
    user_P, item_P = interactions.positives("train")
    returning_U = torch.bincount(user_P, minlength=interactions.users) > 0
    head_I = head(torch.bincount(item_P, minlength=interactions.items))
    found = [Segment("users", "returning", "user", returning_U), Segment("users", "new", "user", ~returning_U)]
    found += [Segment("items", "head", "item", head_I), Segment("items", "tail", "item", ~head_I)]
    return found + [one for column in columns for one in _of_column(dataset, column)]


def head(count_I: Tensor) -> Tensor:
    """Whether each item is among the most frequent ones that hold HEAD of all interactions between them: bool [I].

    The item that crosses the border belongs to the head; of equally frequent ones the first comes first.

    Example:
        >>> head(torch.tensor([1, 5, 1, 1, 2])).tolist()
        [False, True, False, False, False]
    """
    order = torch.argsort(count_I, descending=True, stable=True)
    before = torch.cumsum(count_I[order], 0) - count_I[order]
    head_I = torch.zeros(len(count_I), dtype=torch.bool, device=count_I.device)
    head_I[order] = (before < HEAD * count_I.sum()) & (count_I[order] > 0)
    return head_I


def _of_column(dataset: Dataset, column: str) -> Iterator[Segment]:
    side, name = _place(dataset, column)
    values = pl.read_parquet(dataset.entity_file(f"{side}s"), columns=[name])[name]
    named = _named(values, column)
    for told in named.unique().sort():
        if told not in (NONE, OTHER):
            yield Segment(column, told, side, _mask(named == told))
    for told in (OTHER, NONE):
        if (named == told).any():
            yield Segment(column, told, side, _mask(named == told))


def _mask(chosen: pl.Series) -> Tensor:
    return torch.from_numpy(chosen.to_numpy().copy())


def _place(dataset: Dataset, column: str) -> tuple[str, str]:
    """Side and name of a column."""
    names = {side: pl.read_parquet_schema(dataset.entity_file(f"{side}s")).keys() for side in ("user", "item")}
    prefix, _, rest = column.partition(".")
    if prefix in ("users", "items") and rest in names[prefix[:-1]]:
        return prefix[:-1], rest
    sides = [side for side, known in names.items() if column in known]
    if len(sides) == 1:
        return sides[0], column
    where = "evaluate.segments"
    if sides:
        cure = f"write users.{column} or items.{column}"
        raise UserError(f"users and items both have a column {column!r}", where=where, cure=cure)
    known = [name for each in names.values() for name in each]
    raise UserError(f"no user and no item has a column {column!r}", where=where, cure=did_you_mean(column, known))


def _named(values: pl.Series, column: str) -> pl.Series:
    """The segment of each value, as text."""
    dtype = values.dtype
    if not (dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Categorical) or isinstance(dtype, pl.Enum)):
        cure = "choose a column of text or numbers"
        raise UserError(f"{column} holds {dtype}, which tells no segments", where="evaluate.segments", cure=cure)
    known = values.drop_nans() if dtype.is_float() else values
    if dtype.is_numeric() and known.drop_nulls().n_unique() > MOST:
        return _by_size(values.cast(pl.Float64).fill_nan(None))
    text = values.cast(pl.String) if not dtype.is_float() else values.fill_nan(None).cast(pl.String)
    counts = text.drop_nulls().value_counts().sort(["count", values.name], descending=[True, False])
    kept = counts[values.name] if counts.height <= MOST else counts[values.name][: MOST - 1]
    return pl.select(
        pl.when(text.is_null()).then(pl.lit(NONE)).when(text.is_in(kept.implode())).then(text).otherwise(pl.lit(OTHER))
    ).to_series()


def _by_size(values: pl.Series) -> pl.Series:
    """Numbers cut where equal parts of them end; the names tell the ends and sort in order."""
    inside = {values.quantile(part / PARTS, interpolation="lower") for part in range(1, PARTS)}
    cuts = sorted(cut for cut in inside if cut is not None)
    bounds = [None, *cuts, None]
    told = pl.lit(NONE)
    for number, (low, high) in enumerate(itertools.pairwise(bounds), start=1):
        above = values.is_not_null() if low is None else values > low
        within = above if high is None else above & (values <= high)
        ends = f"up to {high:g}" if low is None else f"above {low:g}" if high is None else f"{low:g} to {high:g}"
        told = pl.when(within).then(pl.lit(f"{number}: {ends}")).otherwise(told)
    return pl.select(told).to_series() if cuts else pl.Series([NONE] * len(values))
