"""Fit and transform by NVTabular, from Parquet to Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from core.schema import Schema
from etl.fitted import Fitted, Seen
from etl.nvtabular.compiled import Compiled, compile_nvtabular
from etl.nvtabular.package import package, running
from etl.nvtabular.stage import large_integers, write_rows
from etl.nvtabular.states import require_readable, take_over
from etl.steps import Plan, Step, raw_columns
from etl.types import polars_type

_PART = "256MB"
"""Bytes of one partition: NVTabular fits partition by partition, and a median over several is approximate."""


@dataclass(frozen=True)
class Ran:
    """A fit that NVTabular did.

    Attributes:
        fitted: Our workflow with what NVTabular learned.
        compiled: NVTabular's own, fitted.
        large: Raw columns that are written for it as integers.
    """

    fitted: Fitted
    compiled: Compiled
    large: frozenset[str]


def fit(plan: Plan, frame: pl.LazyFrame, scratch: Path) -> Ran:
    """Let NVTabular learn from rows.

    Args:
        plan: The steps.
        frame: Training rows.
        scratch: An empty directory, for its files; must outlive the result.

    Raises:
        UserError: It can't run a step, or what it learns can't be taken over; names the operator.
    """
    for step in plan.steps:
        require_readable(step)
    compiled = compile_nvtabular(plan, scratch / "operators")
    columns = (*plan.inputs, *plan.fit_inputs)
    large = large_integers(frame, columns)
    rows = scratch / "fit.parquet"
    write_rows(frame, columns, large, rows)
    with running("its fit"):
        compiled.workflow().fit(dataset(rows))
    return Ran(_taken_over(plan, compiled, _height(rows)), compiled, large)


def _taken_over(plan: Plan, compiled: Compiled, rows: int) -> Fitted:
    known = raw_columns((*plan.inputs, *plan.fit_inputs))
    steps: list[Step] = []
    for planned in plan.steps:
        state = take_over(planned, planned.columns(known), compiled.operators[planned.number])
        steps.append(planned.fitted(known, state))
        known.update(steps[-1].known)
    return Fitted(Schema(plan.inputs), Schema(plan.fit_inputs), tuple(steps), dict(plan.outputs), (Seen(rows),))


def transform(ran: Ran, frame: pl.LazyFrame, scratch: Path, keep: Sequence[str]) -> pl.LazyFrame:
    """Let NVTabular transform rows.

    Args:
        ran: Its fit.
        frame: Raw rows with the columns `keep`.
        scratch: An empty directory, for its files; must outlive the result.
        keep: Columns to pass on as they are.

    Returns:
        `keep` and the outputs, in the types of the schema.
    """
    fitted = ran.fitted
    columns = (*fitted.input_schema, *fitted.fit_schema)
    rows = scratch / "rows.parquet"
    write_rows(frame, columns, ran.large, rows, keep)
    if not _height(rows):
        return pl.LazyFrame(schema=pl.read_parquet_schema(rows)).select(keep).with_columns(_nothing(fitted))
    with running("its transform"):
        data = dataset(rows)
        ran.compiled.workflow(keep).fit_schema(data.schema).transform(data).to_parquet(str(scratch / "made"))
    made = pl.scan_parquet(scratch / "made" / "*.parquet")
    return made.select(*keep, *(pl.col(column.name).cast(polars_type(column)) for column in fitted.schema))


def dataset(path: Path) -> Any:
    """A Parquet file as NVTabular reads it; on the GPU where it finds one."""
    return package().Dataset(str(path), engine="parquet", part_size=_PART)


def _height(path: Path) -> int:
    return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())


def _nothing(fitted: Fitted) -> list[pl.Expr]:
    return [pl.lit(None, polars_type(column)).alias(column.name) for column in fitted.schema]
