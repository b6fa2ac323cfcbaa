"""Checks of the target before any time is spent on training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.dataset import GOAL, TARGET
from core.errors import UserError
from train.batch import Target

MAIN = Target()


def require_two_classes(files: Sequence[Path], split: str, target: Target = MAIN) -> int:
    """Refuse a split whose target is not made of zeros and ones, both of them.

    Args:
        files: Of the split.
        split: Its name.
        target: The target; where not every row tells it, the others are looked at.

    Returns:
        The number of its rows.

    Raises:
        UserError: The split is empty, a label is null or is neither 0 nor 1, or there is one class.
    """
    found, rows = _labels(files, target.column)
    where = f"split {split}" if target.name == GOAL else f"split {split}, target {target.name}"
    found -= set() if target.known else {None}
    strange = sorted(label for label in found if label is not None and label not in {0.0, 1.0})
    if strange or None in found:
        label = f"{strange[0]:g}" if strange else "null"
        cure = "give etl.target a rule (at_least or equals) that makes 0 and 1 of it"
        raise UserError(f"a label is {label}, where a ranker needs 0 or 1", where=where, cure=cure)
    if not found:
        what = "no row tells the target" if rows else "there are no rows"
        raise UserError(what, where=where, cure="give this split a larger share in etl.split")
    if len(found) == 1:
        cure = "check the rule of etl.target, or choose another etl.split; "
        cure += "where every row is positive by nature, add train.ranker.negatives: {count: 4}"
        raise UserError(f"every label is {found.pop():g}: there is nothing to tell apart", where=where, cure=cure)
    return rows


def require_positives(files: Sequence[Path], split: str) -> int:
    """Refuse a split of which some row is not positive, where negatives are to be drawn.

    Returns:
        The number of its rows.

    Raises:
        UserError: The split is empty, or a label is not 1.
    """
    found, rows = _labels(files, TARGET)
    where = f"split {split}"
    if not found:
        raise UserError("there are no rows", where=where, cure="give this split a larger share in etl.split")
    if found != {1.0}:
        cure = "leave out train.ranker.negatives, or say `etl.target: {every_row: true}`"
        raise UserError("some rows are not positive, so there is no need to draw negatives", where=where, cure=cure)
    return rows


def _labels(files: Sequence[Path], column: str) -> tuple[set[float | None], int]:
    """The different labels, and the number of rows."""
    found: set[float | None] = set()
    rows = 0
    for file in files:
        try:
            target = pq.read_table(file, columns=[column]).column(0)
            found |= set(pc.unique(target).to_pylist())
            rows += len(target)
        except (pa.ArrowException, OSError) as error:
            cure = "run the etl stage again"
            raise UserError(f"the target cannot be read ({error})", where=str(file), cure=cure) from None
    return found, rows
