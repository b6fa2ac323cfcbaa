"""Batches from Parquet files, shuffled, with a position to resume from.

Shapes: B rows of a batch, F categorical features, D continuous features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from core.errors import UserError
from train.batch import Batch, Features
from train.read import Layout, pinned, read_block, row_groups, take
from train.read_cudf import has_cudf, read_block_cudf
from train.shuffle import Block, Shuffle

BLOCK_ROWS = 1 << 19
"""Rows that are shuffled together: at 40 columns 80 MiB, and twice that while the next block is read."""


class Loader:
    """The rows of Parquet files as batches of tensors.

    The order of an epoch is a function of the files, the seed and the epoch's number alone. The last batch may
    be shorter. While a block is used up, a thread reads the next one.

    Args:
        files: Parquet files of one schema.
        features: Which columns become ids_BF and dense_BD.
        batch_size: Rows a batch.
        shuffle: Shuffle row groups, and rows within blocks of row groups.
        seed: What the order is drawn from.
        extra: Further columns, passed on under `Batch.extra`.
        labelled: Batches carry the targets of `features`.
        drop_last: Leave out a last batch that is shorter.
        block_rows: Rows that are read, and shuffled, together; a row group is never split.
        device: Where the batches lie.

    Raises:
        UserError: There are no rows; a file cannot be read or lacks a column.

    Example:
        >>> import tempfile, polars as pl
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "part-00000.parquet")
        ...     pl.DataFrame({"item": [1, 2, 0], "age": [0.1, 0.2, 0.3]}).write_parquet(file)
        ...     loader = Loader([file], Features(("item",), (3,), ("age",)), 2, labelled=False)
        ...     [batch.ids_BF.tolist() for batch in loader]
        [[[1], [2]], [[0]]]
    """

    def __init__(  # noqa: PLR0913 - a reader of files has settings of its own, all keyword-only
        self,
        files: Sequence[Path],
        features: Features,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        extra: Sequence[str] = (),
        labelled: bool = True,
        drop_last: bool = False,
        block_rows: int = BLOCK_ROWS,
        device: torch.device | None = None,
    ) -> None:
        self._files, self._batch_size, self._block_rows = tuple(files), batch_size, block_rows
        self._layout = Layout(features, labelled, tuple(extra))
        self._seed = seed if shuffle else None
        self._device = device or torch.device("cpu")
        self._groups = row_groups(self._files, self._layout)
        self.rows = sum(group.rows for group in self._groups)
        self.steps = self.rows // batch_size if drop_last else -(-self.rows // batch_size)
        if self.steps == 0:
            where = str(self._files[0].parent) if self._files else None
            raise UserError("there are no rows to read", where=where, cure="give this split a larger share")

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from step `start` on; blocks before it are not read.

        Raises:
            UserError: A file is broken; a feature holds a null or a NaN; an id lies outside its table.
        """
        if start >= self.steps:
            return
        shuffle = Shuffle(self._seed, number)
        skip = start * self._batch_size
        blocks = [
            block
            for block in shuffle.blocks(self._groups, block_rows=self._block_rows)
            if block.first + block.rows > skip
        ]
        steps = self.steps - start
        for step, batch in enumerate(self._cut(self._read_ahead(blocks, shuffle), skip - blocks[0].first)):
            if step == steps:
                return
            yield batch

    def _cut(self, blocks: Iterator[Batch], skip: int) -> Iterator[Batch]:
        """Cut a stream of blocks into batches, leaving out its first `skip` rows."""
        rest: Batch | None = None
        for block in blocks:
            rows = block.rows(skip, len(block)) if skip else block
            skip = 0
            if rest is not None:
                rows, rest = Batch.join([rest, rows]), None
            whole = len(rows) - len(rows) % self._batch_size
            for begin in range(0, whole, self._batch_size):
                yield rows.rows(begin, begin + self._batch_size)
            if whole < len(rows):
                rest = rows.rows(whole, len(rows))
        if rest is not None:
            yield rest

    def _read_ahead(self, blocks: Sequence[Block], shuffle: Shuffle) -> Iterator[Batch]:
        """Read blocks in order, one ahead of its use."""
        with ThreadPoolExecutor(1, thread_name_prefix="loader") as pool:
            future = pool.submit(self._read, blocks[0], shuffle)
            for following in blocks[1:]:
                ready, future = future.result(), pool.submit(self._read, following, shuffle)
                yield ready
            yield future.result()

    def _read(self, block: Block, shuffle: Shuffle) -> Batch:
        """One block on the device, its rows shuffled."""
        order = shuffle.order(block)
        if self._device.type == "cuda" and has_cudf():
            batch = read_block_cudf(self._files, block, self._layout, self._device)
        else:
            batch = read_block(self._files, block, self._layout)
            if self._device.type == "cuda":
                batch = pinned(batch).to(self._device)
        return batch if order is None else take(batch, order)
