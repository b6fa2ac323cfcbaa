"""What an operator of NVTabular learned, as the state of ours: READERS says how, for each kind.

With it the fitted workflow that is saved, served and exported gives the very ids and numbers that NVTabular gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import Column, Tag
from etl.nvtabular.key_states import group_statistics, target_statistics
from etl.ops.base import Operator, State
from etl.ops.categorify import Categorify
from etl.ops.category_tables import Table
from etl.ops.declare import SIGNED
from etl.ops.fill import Medians
from etl.ops.join_groupby import JoinGroupby
from etl.ops.normalize import Extremes, Moments
from etl.ops.reduce_dtype_size import Ranges
from etl.ops.target_encoding import TargetEncoding
from etl.ops.value_count import Lengths
from etl.ops.vocabularies import COUNT, Vocabularies
from etl.steps import PlannedStep
from etl.types import POLARS

Learned = Mapping[str, Mapping[str, Any]]
"""What the worker tells of an operator after the fit: attribute -> column -> number or file."""


@dataclass(frozen=True)
class Ours:
    """An operator of ours, the columns that it is applied to, and those that its fit reads beside them."""

    operator: Operator[Any]
    columns: Sequence[Column]
    numbers: Mapping[str, Column]


Read = Callable[[Learned, Ours], State]
"""What NVTabular learned, and the operator that it becomes a state of."""


def take_over(step: PlannedStep, known: Mapping[str, Column], theirs: Learned) -> State:
    """The state of a step from what NVTabular learned; `known` has the columns of all references so far.

    Raises:
        UserError: It can't be taken over; names the operator and the cure.
    """
    if step.operator.state_type is State:
        return State()
    require_readable(step)
    numbers = {name: known[step.fit_reads[name]].renamed(name) for name in step.operator.fit_dependencies}
    return READERS[step.operator.kind](theirs, Ours(step.operator, step.columns(known), numbers))


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


def _medians(theirs: Learned, ours: Ours) -> State:
    return Medians({column.name: _number(theirs["medians"][column.name], column) for column in ours.columns})


def _moments(theirs: Learned, ours: Ours) -> State:
    mean = {column.name: _number(theirs["means"][column.name], column) for column in ours.columns}
    # NaN, the deviation of a single row, counts there as that of a constant column: 0.
    std = {column.name: max(0.0, float(theirs["stds"][column.name])) for column in ours.columns}
    return Moments(mean, std)


def _extremes(theirs: Learned, ours: Ours) -> State:
    low = {column.name: _number(theirs["mins"][column.name], column) for column in ours.columns}
    return Extremes(low, {column.name: _number(theirs["maxs"][column.name], column) for column in ours.columns})


def _vocabularies(theirs: Learned, ours: Ours) -> State:
    assert isinstance(ours.operator, Categorify)
    tables = ours.operator.tables(ours.columns)
    return Vocabularies({table.name: _vocabulary(Path(theirs["categories"][table.name]), table) for table in tables})


def _vocabulary(path: Path, table: Table) -> pl.DataFrame:
    """Values and counts of a `unique.NAME.parquet`, in the order of its ids."""
    found = pl.read_parquet(path, glob=False)
    parts = [column.name for column in table.columns] if table.combined else [table.name]
    (size,) = (name for name in found.columns if name.endswith("_size") and name not in parts)
    values = [
        pl.col(part).cast(POLARS[dtype]).alias(key)
        for part, key, dtype in zip(parts, table.keys, table.dtypes, strict=True)
    ]
    made = found.select(*values, pl.col(size).cast(pl.Int64).alias(COUNT))
    # Where no value was left it writes one null.
    return made.filter(pl.any_horizontal(pl.col(key).is_not_null() for key in table.keys))


def _lengths(theirs: Learned, ours: Ours) -> State:
    found = {column.name: theirs["stats"][column.name]["value_count"] for column in ours.columns}
    least, most = ({name: int(one[end]) for name, one in found.items()} for end in ("min", "max"))
    return Lengths(least, most)


def _ranges(theirs: Learned, ours: Ours) -> State:
    beyond = {Tag.CATEGORICAL, Tag.CONTINUOUS}
    whole = [one.name for one in ours.columns if one.dtype in SIGNED and one.tags.isdisjoint(beyond)]
    low, high = ({name: int(theirs["ranges"][name][end]) for name in whole} for end in (0, 1))
    return Ranges(low, high)


def _groups(theirs: Learned, ours: Ours) -> State:
    assert isinstance(ours.operator, JoinGroupby)
    return group_statistics(theirs, ours.operator, ours.columns, ours.numbers)


def _targets(theirs: Learned, ours: Ours) -> State:
    assert isinstance(ours.operator, TargetEncoding)
    return target_statistics(theirs, ours.operator, ours.columns, ours.numbers)


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
    "join_groupby": _groups,
    "normalize": _moments,
    "normalize_min_max": _extremes,
    "reduce_dtype_size": _ranges,
    "target_encoding": _targets,
    "value_count": _lengths,
}
"""Operators whose statistics can be taken over."""
