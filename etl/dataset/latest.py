"""What windows make of every user and item at the end of the data, so that a recommendation needs no caller's history.

Rows are added behind all others, one for each user and one for each item, just after the latest time, with the user's
(or item's) own columns and nothing else. What the windows make of such a row is what they would make of the first
event after the data. The rows lie at one moment, so none sees another.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from core.dataset import ROW, Dataset
from core.schema import Tag
from etl.dataset.entities import FEATURES
from etl.dataset.tables import write_table
from etl.engines.cpu import CpuEngine
from etl.fitted import Fitted
from etl.ops.windows.base import Windowed
from etl.serving import for_serving, given_columns, serving_rows

SIDES = {"users": Tag.USER, "items": Tag.ITEM}
_WHOSE = "__whose__"


def write_latest(dataset: Dataset, fitted: Fitted, frame: pl.LazyFrame, some: pl.DataFrame) -> pl.DataFrame:
    """Write the files of both sides, and give some rows as a caller would give them; one pass makes both.

    A side of which no window makes anything has no file.

    Args:
        dataset: Has its users and items already.
        fitted: The workflow; it has windows.
        frame: All raw rows, numbered.
        some: Rows of the frame, with their numbers.
    """
    names = _given(fitted) if dataset.has_entities else {}
    read = dict.fromkeys((*(column.name for column in fitted.input_schema), *some.columns))
    rows = frame.select(pl.col(ROW).cast(pl.Int64), *(name for name in read if name != ROW))
    whole = rows.with_columns(pl.lit(None, pl.Int8).alias(_WHOSE))
    if any(names.values()):
        whole = pl.concat([whole, _behind(dataset, fitted, rows).lazy()], how="diagonal")
    wanted = pl.col(_WHOSE).is_not_null() | pl.col(ROW).is_in(some[ROW].cast(pl.Int64).implode())
    engine = CpuEngine()
    engine.workplace = dataset.path
    with engine.spilling(whole):
        made = serving_rows(fitted, whole, keep=[_WHOSE, *some.columns], engine=engine).filter(wanted)
        found = engine.collect([made])[0].sort(ROW)
    for number, (side, chosen) in enumerate(names.items()):
        if chosen:
            own = found.filter(pl.col(_WHOSE) == number).select(chosen)
            write_table(own, dataset.latest_file(FEATURES[side]))
    return found.filter(pl.col(_WHOSE).is_null()).drop(_WHOSE)


def _given(fitted: Fitted) -> dict[str, list[str]]:
    """Side -> what a caller gives that belongs to it."""
    schema = for_serving(fitted).input_schema
    made = [schema[name] for name in given_columns(fitted)]
    return {side: [column.name for column in made if tag in column.tags] for side, tag in SIDES.items()}


def _behind(dataset: Dataset, fitted: Fitted, rows: pl.LazyFrame) -> pl.DataFrame:
    """A row for every user and every item, after the latest one."""
    types = rows.collect_schema()
    operators = [step.operator for step in fitted.steps if isinstance(step.operator, Windowed)]
    times = {name for operator in operators for name in operator.times if name in types}
    last = rows.select(pl.col(ROW, *times).max()).collect(engine="streaming").row(0, named=True)
    tables = [pl.read_parquet(dataset.entity_file(side)) for side in SIDES]
    parts = [
        table.select(
            *(pl.col(name).cast(types[name]) for name in table.columns if name in types and name not in times),
            *(_after(name, last[name], types[name]) for name in sorted(times)),
            pl.lit(number, pl.Int8).alias(_WHOSE),
        )
        for number, table in enumerate(tables)
    ]
    both = pl.concat(parts, how="diagonal")
    return both.with_columns((pl.int_range(pl.len(), dtype=pl.Int64) + last[ROW] + 1).alias(ROW))


def _after(name: str, last: object, dtype: pl.DataType) -> pl.Expr:
    """A moment that is later than the last one."""
    return pl.lit(last, dtype).alias(name) + _STEPS.get(dtype.base_type(), pl.lit(1, dtype))


_STEPS: Mapping[type[pl.DataType], pl.Expr] = {pl.Date: pl.duration(days=1), pl.Datetime: pl.duration(microseconds=1)}
