"""Row groups of Parquet files as one block of tensors, without a step per row.

Shapes: N rows of the block, F categorical features, D continuous features, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from core.errors import UserError
from train.batch import Batch, Features, ListFeature
from train.jagged import Jagged
from train.shuffle import Block, RowGroup

Array = npt.NDArray[Any]
AGAIN = "run the etl stage again"
STRIP = 8192
"""Rows that are turned from columns to rows at a time: such a strip stays in the cache, which is 4x faster."""


@dataclass(frozen=True)
class Layout:
    """Which columns become which tensors.

    Attributes:
        features: The features of the model.
        labelled: Whether the targets are read too.
        extra: Further columns.
    """

    features: Features
    labelled: bool
    extra: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Every column to read, each once."""
        return list(dict.fromkeys([*self.features.names, *self.targets, *self.extra]))

    @property
    def targets(self) -> list[str]:
        """The columns of the targets; of those in `partial`, null means that it isn't known."""
        return [one.column for one in self.features.targets] if self.labelled else []

    @property
    def partial(self) -> frozenset[str]:
        """Columns that may hold nulls."""
        return frozenset(one.column for one in self.features.targets if not one.known)


def row_groups(files: Sequence[Path], layout: Layout) -> list[RowGroup]:
    """List the row groups that hold rows.

    Raises:
        UserError: A file cannot be read, or lacks a column.
    """
    groups = []
    for index, file in enumerate(files):
        with _opened(file) as parquet:
            missing = [name for name in layout.columns if name not in parquet.schema_arrow.names]
            if missing:
                raise UserError(f"the column {missing[0]!r} is missing", where=str(file), cure=AGAIN)
            sizes = [parquet.metadata.row_group(one).num_rows for one in range(parquet.num_row_groups)]
        groups += [RowGroup(index, number, rows) for number, rows in enumerate(sizes) if rows > 0]
    return groups


def read_block(files: Sequence[Path], block: Block, layout: Layout) -> Batch:
    """Read a block into tensors on the CPU, its rows as they lie in the files.

    Raises:
        UserError: A file is broken; a feature holds a null or a NaN; an id lies outside its table.
    """
    parts = []
    for index, group in groupby(block.groups, key=lambda group: group.file):
        parts.append(_read(files[index], [one.number for one in group], layout.columns))
    table = pa.concat_tables(parts)
    where = str(files[block.groups[0].file].parent)
    features = layout.features
    lists = {one.name: jagged(_whole(table.column(one.name)), one, where) for one in features.lists}
    arrays = {
        name: _values(table.column(name), name, where, partial=name in layout.partial)
        for name in layout.columns
        if name not in lists
    }
    for name, limit in zip(features.categorical, features.cardinalities, strict=True):
        check_ids(name, int(arrays[name].min()), int(arrays[name].max()), limit, where)
    dense_ND = _rows([arrays[name] for name in features.continuous], block.rows, np.dtype(np.float32))
    if not np.isfinite(dense_ND).all():
        column = int(np.argwhere(~np.isfinite(dense_ND))[0, 1])
        raise not_finite(features.continuous[column], where)
    targets = [torch.from_numpy(arrays[name].astype(np.float32)) for name in layout.targets]
    kind = np.dtype(np.int32 if max(features.cardinalities, default=0) < 2**31 else np.int64)
    return Batch(
        torch.from_numpy(_rows([arrays[name] for name in features.categorical], block.rows, kind)),
        torch.from_numpy(dense_ND),
        targets[0] if targets else None,
        {name: torch.from_numpy(arrays[name].copy()) for name in layout.extra},
        lists,
        torch.stack(targets, 1) if len(targets) > 1 else None,
    )


def take(batch: Batch, order_N: Array) -> Batch:
    """The rows of a batch in another order, on its device."""
    order = torch.from_numpy(order_N).to(batch.ids_BF.device)
    if order.device.type == "cuda":
        return batch.pick(order)
    # NumPy's gather of rows is 2 to 3 times as fast as torch's index_select on the CPU.
    return batch.pick(order, lambda values: torch.from_numpy(values.numpy().take(order_N, axis=0)))


def jagged(column: pa.Array, feature: ListFeature, where: str) -> Jagged:
    """A column of lists of ids, without a step per row.

    Raises:
        UserError: It holds something else, or a null, or an id lies outside its table.
    """
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_integer(kind.value_type):
        cure = "end its operators with categorify or hash_bucket"
        raise UserError(f"the column {feature.name!r} holds no lists of ids ({kind})", where=where, cure=cure)
    elements = column.flatten()
    if column.null_count or elements.null_count:
        raise UserError(f"the column {feature.name!r} holds nulls", where=where, cure=AGAIN)
    ids_J: Array = elements.to_numpy()
    if len(ids_J):
        check_ids(feature.name, int(ids_J.min()), int(ids_J.max()), feature.cardinality, where)
    offsets_N1 = column.offsets.to_numpy().astype(np.int64)
    return Jagged(torch.from_numpy(ids_J.copy()), torch.from_numpy(offsets_N1 - offsets_N1[0]))


def check_ids(name: str, low: int, high: int, limit: int, where: str) -> None:
    """Refuse ids that would read another feature's rows.

    Raises:
        UserError: An id lies outside [0, limit).
    """
    if low < 0 or high >= limit:
        wrong = low if low < 0 else high
        what = f"the id {wrong} of {name!r} lies outside its table of {limit} ids"
        raise UserError(what, where=where, cure=f"the files do not belong to this schema; {AGAIN}")


def not_finite(name: str, where: str) -> UserError:
    """The error for a NaN or an infinity among the values of a feature."""
    cure = "add fill_missing or fill_median before its other operators, or clip it"
    return UserError(f"the feature {name!r} holds a NaN or an infinity", where=where, cure=cure)


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"this is not a whole Parquet file ({error})", where=str(file), cure=AGAIN) from None


def _read(file: Path, groups: list[int], columns: list[str]) -> pa.Table:
    with _opened(file) as parquet:
        try:
            return parquet.read_row_groups(groups, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"the file is broken ({error})", where=str(file), cure=AGAIN) from None


def _values(column: pa.ChunkedArray, name: str, where: str, *, partial: bool) -> Array:
    # Arrow gives floats with nulls as NaN.
    if column.null_count and not partial:
        cure = "add fill_missing or fill_median to it"
        raise UserError(f"the column {name!r} holds {column.null_count} nulls", where=where, cure=cure)
    values: Array = column.to_numpy()
    if values.dtype.kind not in "iuf":
        cure = "end its operators with categorify, hash_bucket or normalize"
        raise UserError(f"the column {name!r} holds no numbers ({column.type})", where=where, cure=cure)
    return values


def _whole(column: pa.ChunkedArray) -> pa.Array:
    # `combine_chunks` of a single chunk gives it as it is, of none an empty one.
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _rows(columns_CN: Sequence[Array], rows: int, kind: np.dtype[Any]) -> Array:
    """Columns -> [N, C], contiguous by row."""
    rows_NC = np.empty((rows, len(columns_CN)), kind)
    for start in range(0, rows, STRIP):
        strip = slice(start, start + STRIP)
        for place, values_N in enumerate(columns_CN):
            rows_NC[strip, place] = values_N[strip]
    return rows_NC


def pinned(batch: Batch) -> Batch:
    """The same batch in page-locked memory, from where a copy to the device does not block."""
    return batch.map(Tensor.pin_memory)
