"""Which rows an epoch reads, in which order: a pure function of the row groups, the seed and the epoch.

Row groups are shuffled and cut into blocks; the rows of each block are shuffled in memory. Nothing depends on
threads, and a block's order can be made without its predecessors, so a resumed epoch skips whole blocks unread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, order=True)
class RowGroup:
    """A row group of a Parquet file: the file's number, its own number in the file, and its rows."""

    file: int
    number: int
    rows: int


@dataclass(frozen=True)
class Block:
    """Row groups that are read and shuffled together.

    Attributes:
        groups: The row groups, in file order.
        number: Place of the block in the epoch.
        first: Number of rows in the blocks before it.
        rows: Number of its rows.
    """

    groups: tuple[RowGroup, ...]
    number: int
    first: int
    rows: int


@dataclass(frozen=True)
class Shuffle:
    """The order of an epoch; without a seed the order of the files."""

    seed: int | None
    epoch: int = 0

    def blocks(self, groups: Sequence[RowGroup], *, block_rows: int) -> list[Block]:
        """Cut an epoch into blocks that each hold at least `block_rows` rows, the last one excepted.

        Example:
            >>> groups = [RowGroup(0, number, 10) for number in range(5)]
            >>> [block.rows for block in Shuffle(seed=7).blocks(groups, block_rows=20)]
            [20, 20, 10]
        """
        order = range(len(groups)) if self.seed is None else self._random(0).permutation(len(groups))
        blocks: list[Block] = []
        waiting: list[RowGroup] = []
        first = 0
        for place, index in enumerate(order, start=1):
            waiting.append(groups[index])
            rows = sum(group.rows for group in waiting)
            if rows >= block_rows or place == len(groups):
                blocks.append(Block(tuple(sorted(waiting)), len(blocks), first, rows))
                waiting, first = [], first + rows
        return blocks

    def order(self, block: Block) -> npt.NDArray[np.int64] | None:
        """The order of a block's rows; None: as they lie."""
        return None if self.seed is None else self._random(1 + block.number).permutation(block.rows)

    def _random(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed or 0, self.epoch, stream])
