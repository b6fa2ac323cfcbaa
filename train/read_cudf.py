"""The same blocks read by the GPU: Parquet is decoded there, and no value passes through host memory.

Shapes: N rows of the block, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import UserError
from train.batch import Batch, ListFeature
from train.jagged import Jagged
from train.read import Layout, check_ids, not_finite
from train.shuffle import Block


def has_cudf() -> bool:
    """Whether cuDF is installed."""
    return find_spec("cudf") is not None


def read_block_cudf(files: Sequence[Path], block: Block, layout: Layout, device: torch.device) -> Batch:
    """Read a block into tensors on a CUDA device, its rows as they lie in the files.

    Raises:
        UserError: A feature holds a null or a NaN; an id lies outside its table.
    """
    import cudf

    parts = {index: [one.number for one in group] for index, group in groupby(block.groups, key=lambda g: g.file)}
    frame = cudf.read_parquet(
        [str(files[index]) for index in parts], row_groups=list(parts.values()), columns=layout.columns
    )
    where = str(files[block.groups[0].file].parent)
    features = layout.features
    lists = {one.name: _lists(frame[one.name], one, where, device) for one in features.lists}
    columns = {
        name: (_partial if name in layout.partial else _tensor)(frame[name], name, where, device)
        for name in layout.columns
        if name not in lists
    }
    ids_NF = _rows([columns[name] for name in features.categorical], block.rows, torch.int32, device)
    dense_ND = _rows([columns[name] for name in features.continuous], block.rows, torch.float32, device)
    if features.categorical and block.rows:
        low_F, high_F = (one.tolist() for one in torch.aminmax(ids_NF, dim=0))
        for name, low, high, limit in zip(features.categorical, low_F, high_F, features.cardinalities, strict=True):
            check_ids(name, low, high, limit, where)
    finite_D = dense_ND.isfinite().all(0).tolist()
    if not all(finite_D):
        raise not_finite(features.continuous[finite_D.index(False)], where)
    targets = [columns[name].to(torch.float32) for name in layout.targets]
    return Batch(
        ids_NF,
        dense_ND,
        targets[0] if targets else None,
        {name: columns[name] for name in layout.extra},
        lists,
        torch.stack(targets, 1) if len(targets) > 1 else None,
    )


def _lists(column: Any, feature: ListFeature, where: str, device: torch.device) -> Jagged:
    ids_J = _tensor(column.list.leaves, feature.name, where, device)
    sizes_N = _tensor(column.list.len(), feature.name, where, device).to(torch.int64)
    if len(ids_J):
        low, high = (int(one) for one in torch.aminmax(ids_J))
        check_ids(feature.name, low, high, feature.cardinality, where)
    return Jagged(ids_J, torch.cat([sizes_N.new_zeros(1), sizes_N.cumsum(0)]))


def _tensor(column: Any, name: str, where: str, device: torch.device) -> Tensor:
    if column.null_count:
        cure = "add fill_missing or fill_median to it"
        raise UserError(f"the column {name!r} holds {column.null_count} nulls", where=where, cure=cure)
    return torch.as_tensor(column.values, device=device)


def _partial(column: Any, name: str, where: str, device: torch.device) -> Tensor:
    """A target, NaN where it is null. Labels are 0 and 1, so that -1 is free for null, which cuDF's NaN is too."""
    label_N = _tensor(column.fillna(-1.0), name, where, device)
    return torch.where(label_N < 0, torch.nan, label_N)


def _rows(columns_CN: Sequence[Tensor], rows: int, kind: torch.dtype, device: torch.device) -> Tensor:
    if not columns_CN:
        return torch.empty(rows, 0, dtype=kind, device=device)
    return torch.stack([values_N.to(kind) for values_N in columns_CN], dim=1)
