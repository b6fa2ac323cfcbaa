"""Checks of the target before any time is spent on training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.dataset import TARGET
from core.errors import UserError


def require_two_classes(files: Sequence[Path], split: str) -> int:
    """Refuse a split whose target is not made of zeros and ones, both of them.

    Returns:
        The number of its rows.

    Raises:
        UserError: The split is empty, a label is null or is neither 0 nor 1, or there is one class.
    """
    found: set[float | None] = set()
    rows = 0
    for file in files:
        try:
            target = pq.read_table(file, columns=[TARGET]).column(0)
            found |= set(pc.unique(target).to_pylist())
            rows += len(target)
        except (pa.ArrowException, OSError) as error:
            cure = "run the etl stage again"
            raise UserError(f"the target cannot be read ({error})", where=str(file), cure=cure) from None
    where = f"split {split}"
    strange = sorted(label for label in found if label is not None and label not in {0.0, 1.0})
    if strange or None in found:
        label = f"{strange[0]:g}" if strange else "null"
        cure = "give etl.target a rule (at_least or equals) that makes 0 and 1 of it"
        raise UserError(f"a label is {label}, where a ranker needs 0 or 1", where=where, cure=cure)
    if not found:
        raise UserError("there are no rows", where=where, cure="give this split a larger share in etl.split")
    if len(found) == 1:
        cure = "check the rule of etl.target, or choose another etl.split"
        raise UserError(f"every label is {found.pop():g}: there is nothing to tell apart", where=where, cure=cure)
    return rows
