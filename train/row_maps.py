"""Which row of an earlier module each row of a new one is, where tables have grown or were numbered anew.

Shapes: R rows of a weight, N entities of a new data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from torch import Tensor, nn

from train.layers.embedding import FusedEmbedding
from train.models.retrieve.base import Block

FRESH = -1
"""In a map of rows: the row is new."""


@dataclass(frozen=True)
class Renumbered:
    """The users or the items of a new data set among those of an earlier one.

    Attributes:
        source_N: The earlier number of each, or FRESH.
        before: How many there were.
    """

    source_N: Tensor
    before: int

    @classmethod
    def between(cls, old: Path, new: Path) -> Renumbered:
        """Compare two entity files by their first column, the raw id."""
        before, now = (pl.read_parquet(file).to_series(0) for file in (old, new))
        if before.dtype != now.dtype:
            shared = pl.Int64 if before.dtype.is_integer() and now.dtype.is_integer() else pl.String
            before, now = before.cast(shared), now.cast(shared)
        known = pl.DataFrame({"id": before, "row": pl.int_range(before.len(), eager=True)})
        found = pl.DataFrame({"id": now}).join(known, on="id", how="left", maintain_order="left", nulls_equal=True)
        source = found["row"].fill_null(FRESH).cast(pl.Int64)
        return cls(torch.from_numpy(source.to_numpy().copy()), before.len())


def grown(before: Sequence[int], now: Sequence[int], *, last: int = 0) -> Tensor:
    """The map of tables that lie one behind the other, each of which has got further ids at its end.

    Args:
        before: Rows of each table in the earlier module.
        now: The same in the new one.
        last: Rows at the end of each table that stay its last.

    Example:
        >>> grown([2, 3], [3, 3]).tolist()
        [0, 1, -1, 2, 3, 4]
        >>> grown([3], [5], last=1).tolist()
        [0, 1, -1, -1, 2]
    """
    parts, start = [], 0
    for old, new in zip(before, now, strict=True):
        fresh = torch.full((new - old,), FRESH)
        ids, end = torch.arange(start, start + old - last), torch.arange(start + old - last, start + old)
        parts += [ids, fresh, end]
        start += old
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)


def moved(blocks: Sequence[Block], sides: Mapping[str, Renumbered]) -> Tensor:
    """The map of a weight whose rows belong to users or items.

    Where there is a row for somebody new, who is new begins with that.

    Example:
        >>> items = Renumbered(torch.tensor([1, -1, 0]), before=2)
        >>> moved([Block("items")], {"items": items}).tolist()
        [1, -1, 0]
        >>> moved([Block("items", more=1)], {"items": items}).tolist()
        [1, 2, 0, 2]
    """
    parts, start = [], 0
    for block in blocks:
        side = sides[block.of]
        new = start + side.before if block.more else FRESH
        parts.append(torch.where(side.source_N == FRESH, new, side.source_N + start))
        parts.append(torch.arange(block.more) + start + side.before)
        start += side.before + block.more
    return torch.cat(parts)


def row_maps(
    old: nn.Module,
    new: nn.Module,
    *,
    entity_rows: Mapping[str, Sequence[Block]],
    sides: Mapping[str, Renumbered],
    last: int = 0,
) -> dict[str, Tensor]:
    """The map of every weight whose rows have moved, by name; others are the same row by row.

    Args:
        old: The earlier module.
        new: One of the same settings and features.
        entity_rows: Weights with a row a user or an item.
        sides: `users` and `items`, where there are such weights.
        last: Rows at the end of each feature's table that stay its last.
    """
    names = new.state_dict().keys()
    found = {name: moved(blocks, sides) for name, blocks in entity_rows.items() if name in names}
    earlier = dict(old.named_modules())
    for name, part in new.named_modules():
        weight = f"{name}.table.weight" if name else "table.weight"
        if isinstance(part, FusedEmbedding) and weight not in found:
            before = earlier[name]
            assert isinstance(before, FusedEmbedding), "both have the same settings"
            found[weight] = grown(before.limits_F.tolist(), part.limits_F.tolist(), last=last)
    return found


def taken(old: Tensor, fresh: Tensor, source_R: Tensor | None) -> Tensor:
    """Rows of an earlier tensor where there are such, fresh ones elsewhere; without a map, all of the earlier one.

    Example:
        >>> taken(torch.tensor([1.0, 2.0]), torch.zeros(3), torch.tensor([1, -1, 0])).tolist()
        [2.0, 0.0, 1.0]
    """
    if source_R is None:
        return old
    known_R = source_R != FRESH
    value = fresh.clone()
    value[known_R] = old[source_R[known_R]].to(fresh)
    return value
