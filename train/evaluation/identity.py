"""What two runs must have in common before their figures may stand in one table."""

from __future__ import annotations

import hashlib

import polars as pl

from core.dataset import ITEM_INDEX, SPLIT, TARGET, TIME, USER_INDEX, Dataset
from core.files import hash_json
from train.batch import Target
from train.evaluation.verdicts import HELD_OUT


def identity(dataset: Dataset) -> dict[str, str]:
    """Hashes of what was judged, whatever features were made of it.

    Returns:
        `data`: which interactions there are, of whom with what, how they ended and when; `splits`: which of them train
        and which judge. Without users and items both are the targets that judge and the number of those that train.
    """
    if dataset.has_entities:
        frame = pl.read_parquet(dataset.interactions_file, columns=[USER_INDEX, ITEM_INDEX, TARGET, TIME, SPLIT])
        return {"data": _hash(frame.drop(SPLIT)), "splits": _hash(frame.select(SPLIT))}
    held_out = {
        split: pl.read_parquet(files, columns=[TARGET]) for split in HELD_OUT if (files := dataset.files(split))
    }
    rows, positives = (
        pl.scan_parquet(dataset.files("train")).select(pl.len(), (pl.col(TARGET) > 0.5).sum()).collect().row(0)
    )
    known = {f"{split} {_hash(frame)}" for split, frame in held_out.items()} | {f"train {rows} {positives}"}
    return dict.fromkeys(("data", "splits"), hash_json(sorted(known)))


def labels(dataset: Dataset, target: Target) -> str:
    """Hash of what the rows that judge say of a target."""
    files = [file for split in HELD_OUT for file in dataset.files(split)]
    return _hash(pl.read_parquet(files, columns=[target.column]).select(pl.all().fill_null(-1.0)))


def _hash(frame: pl.DataFrame) -> str:
    found = hashlib.sha256()
    for column in frame.iter_columns():
        found.update(f"{column.name} {column.dtype} {len(column)} ".encode())
        found.update(column.fill_null(strategy="zero").to_numpy().tobytes())
    return found.hexdigest()
