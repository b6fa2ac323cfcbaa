"""What two runs must have in common before their figures may stand in one table."""

from __future__ import annotations

import hashlib

import polars as pl

from core.dataset import ITEM_INDEX, SPLIT, SPLITS, TARGET, TIME, USER_INDEX, Dataset


def identity(dataset: Dataset) -> dict[str, str]:
    """Hashes of what was judged, whatever features were made of it.

    Returns:
        `data`: which interactions there are, of whom with what, how they ended and when; `splits`: which of them train
        and which judge. Without users and items the targets of each split are all that is known.
    """
    if dataset.has_entities:
        frame = pl.read_parquet(dataset.interactions_file, columns=[USER_INDEX, ITEM_INDEX, TARGET, TIME, SPLIT])
        return {"data": _hash(frame.drop(SPLIT)), "splits": _hash(frame.select(SPLIT))}
    targets = {split: pl.scan_parquet(dataset.files(split)).select(TARGET).collect() for split in _there(dataset)}
    whole = pl.concat(targets.values()).select(rows=pl.len(), sum=pl.col(TARGET).cast(pl.Float64).sum())
    return {
        "data": _hash(whole),
        "splits": _hash(pl.concat(targets.values()))
        + "".join(f" {split} {frame.height}" for split, frame in targets.items()),
    }


def _there(dataset: Dataset) -> list[str]:
    return [split for split in SPLITS if dataset.files(split)]


def _hash(frame: pl.DataFrame) -> str:
    found = hashlib.sha256()
    for column in frame.iter_columns():
        found.update(f"{column.name} {column.dtype} {len(column)} ".encode())
        found.update(column.fill_null(strategy="zero").to_numpy().tobytes())
    return found.hexdigest()
