"""What an operator of NVTabular learned, as the state of ours: READERS says how, for each kind.

With it the fitted workflow that is saved, served and exported gives the very ids and numbers that NVTabular gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import Column
from etl.ops.base import State
from etl.ops.fill import Medians
from etl.ops.keys import key_dtype
from etl.ops.normalize import Extremes, Moments
from etl.ops.vocabularies import Vocabularies
from etl.steps import PlannedStep
from etl.types import POLARS

Learned = Mapping[str, Mapping[str, Any]]
"""What the worker tells of an operator after the fit: attribute -> column -> number or file."""
Read = Callable[[Learned, Sequence[Column]], State]
"""What NVTabular learned, and the columns of the step -> our state."""


def take_over(step: PlannedStep, columns: Sequence[Column], theirs: Learned) -> State:
    """The state of a step from what NVTabular learned.

    Raises:
        UserError: It can't be taken over; names the operator and the cure.
    """
    if step.operator.state_type is State:
        return State()
    require_readable(step)
    return READERS[step.operator.kind](theirs, columns)


def require_readable(step: PlannedStep) -> None:
    """Check that what NVTabular will learn can be taken over.

    Raises:
        UserError: It can't; names the operator and the cure.
    """
    if step.operator.state_type is not State and step.operator.kind not in READERS:
        raise UserError(
            f"what NVTabular learns for {step.operator.kind} can't be taken over, so it couldn't be served",
            where=f"engine nvtabular, {', '.join(step.inputs)}",
            cure="leave the operator out, or set `etl.engine: cpu`",
        )


def _medians(theirs: Learned, columns: Sequence[Column]) -> State:
    return Medians({column.name: _number(theirs["medians"][column.name], column) for column in columns})


def _moments(theirs: Learned, columns: Sequence[Column]) -> State:
    mean = {column.name: _number(theirs["means"][column.name], column) for column in columns}
    # NaN, the deviation of a single row, counts there as that of a constant column: 0.
    std = {column.name: max(0.0, float(theirs["stds"][column.name])) for column in columns}
    return Moments(mean, std)


def _extremes(theirs: Learned, columns: Sequence[Column]) -> State:
    low = {column.name: _number(theirs["mins"][column.name], column) for column in columns}
    return Extremes(low, {column.name: _number(theirs["maxs"][column.name], column) for column in columns})


def _vocabularies(theirs: Learned, columns: Sequence[Column]) -> State:
    return Vocabularies(
        {column.name: _vocabulary(Path(theirs["categories"][column.name]), column) for column in columns}
    )


def _vocabulary(path: Path, column: Column) -> pl.DataFrame:
    """Values and counts of a `unique.NAME.parquet`, in the order of its ids."""
    table = pl.read_parquet(path, columns=[column.name, f"{column.name}_size"])
    key = POLARS[key_dtype(column)]
    return table.select(
        pl.col(column.name).cast(key).alias("value"), pl.col(f"{column.name}_size").cast(pl.Int64).alias("count")
    ).filter(pl.col("value").is_not_null())


def _number(value: Any, column: Column) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise UserError(
            f"NVTabular learned {number} from the column",
            where=f"engine nvtabular, column {column.name}",
            cure="put fill_missing or clip before",
        )
    return number


READERS: dict[str, Read] = {
    "categorify": _vocabularies,
    "fill_median": _medians,
    "normalize": _moments,
    "normalize_min_max": _extremes,
}
"""Operators whose statistics can be taken over."""
