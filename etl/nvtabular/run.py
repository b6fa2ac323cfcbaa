"""Fit and transform by NVTabular, from Parquet to Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from core.dataset import ROW, is_target
from core.schema import Schema
from etl.fitted import Fitted
from etl.nvtabular.described import describe
from etl.nvtabular.key_states import BESIDE
from etl.nvtabular.process import Process
from etl.nvtabular.stage import large_integers, write_rows
from etl.nvtabular.states import require_readable, take_over
from etl.seen import Seen
from etl.steps import Plan, Step, raw_columns
from etl.types import polars_type


@dataclass(frozen=True)
class Ran:
    """A fit that NVTabular did; its process holds the workflow until it does another.

    Attributes:
        process: Where it runs.
        fitted: Our workflow with what NVTabular learned.
        large: Raw columns that are written for it as integers.
        rows: The file that it was fitted on.
    """

    process: Process
    fitted: Fitted
    large: frozenset[str]
    rows: Path

    @property
    def folded(self) -> bool:
        """The rows of the fit get other values than new rows of the same content."""
        return any(step.operator.numbered for step in self.fitted.steps)


def fit(process: Process, plan: Plan, frame: pl.LazyFrame, scratch: Path) -> Ran:
    """Let NVTabular learn from rows.

    Args:
        process: Where it runs.
        plan: The steps.
        frame: Training rows.
        scratch: An empty directory, for its files; must outlive the result.

    Raises:
        UserError: It can't run a step, or what it learns can't be taken over; names the operator.
    """
    for step in plan.steps:
        require_readable(step)
    steps, outputs = describe(plan, scratch)
    columns = (*plan.inputs, *plan.fit_inputs)
    large = large_integers(frame, columns)
    rows = scratch / "fit.parquet"
    keep = [ROW] if ROW in frame.collect_schema() else []
    write_rows(frame, columns, large, rows, keep)
    learned = process.ask("fit", steps=steps, outputs=outputs, rows=str(rows))
    return Ran(process, _taken_over(plan, learned, height(rows)), large, rows)


def _taken_over(plan: Plan, learned: dict[str, Any], rows: int) -> Fitted:
    known = raw_columns((*plan.inputs, *plan.fit_inputs))
    steps: list[Step] = []
    for planned in plan.steps:
        theirs = learned[str(planned.number)]
        more = learned.get(f"{planned.number} {BESIDE}")
        state = take_over(planned, known, theirs if more is None else {**theirs, BESIDE: more["categories"]})
        steps.append(planned.fitted(known, state))
        known.update(steps[-1].known)
    return Fitted(
        Schema(plan.inputs), Schema(plan.fit_inputs), tuple(steps), dict(plan.outputs), (Seen(rows, "NVTabular"),)
    )


def transform(ran: Ran, frame: pl.LazyFrame, scratch: Path, keep: Sequence[str]) -> pl.LazyFrame:
    """Let NVTabular transform rows, as new ones.

    Args:
        ran: Its fit.
        frame: Raw rows with the columns `keep`.
        scratch: An empty directory, for its files; must outlive the result.
        keep: Columns to pass on as they are.

    Returns:
        `keep` and the outputs, in the types of the schema.
    """
    fitted = ran.fitted
    rows = scratch / "rows.parquet"
    write_rows(frame, (*fitted.input_schema, *fitted.fit_schema), ran.large, rows, keep)
    if not height(rows):
        nothing = [pl.lit(None, polars_type(column)).alias(column.name) for column in fitted.schema]
        return pl.scan_parquet(rows, glob=False).select(*keep, *nothing)
    made = _made(ran, rows, scratch, keep, new=True)
    # Of a large split that is much room, and nobody reads it again.
    rows.unlink()
    return made


def of_the_fit(ran: Ran, scratch: Path) -> pl.LazyFrame:
    """Let NVTabular transform the rows that it was fitted on, each without what its own fold says of it: ROW, outputs.

    Folds go by the place of a row among those of its part of the file, so this reads the file of the fit.
    """
    return _made(ran, ran.rows, scratch, [ROW], new=False)


def _made(ran: Ran, rows: Path, scratch: Path, keep: Sequence[str], *, new: bool) -> pl.LazyFrame:
    out = scratch / "made"
    ran.process.ask("transform", rows=str(rows), keep=list(keep), out=str(out), new=new)
    made = pl.scan_parquet(out / "*.parquet")
    # A further target is null where it isn't known, and a frame of pandas tells that by NaN.
    kept = [pl.col(name).fill_nan(None) if is_target(name) else pl.col(name) for name in keep]
    return made.select(*kept, *(pl.col(column.name).cast(polars_type(column)) for column in ran.fitted.schema))


def height(path: Path) -> int:
    """Number of rows of a file."""
    return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
