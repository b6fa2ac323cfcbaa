"""Raw rows with their target, their time and their side of the split; everything that can be wrong is checked here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import polars.exceptions as pe

from core.dataset import ROW, SPLIT, SPLITS, TARGET, TIME
from etl.care.leaks import settled
from etl.care.leaks_planned import plan_findings, require_known_outcomes, require_own_targets_unread
from etl.care.look import Look, look, passes_of_look
from etl.dataset.checks import require_full, require_int64, require_splits, require_values
from etl.dataset.raw import Raw, open_raw
from etl.dataset.sources import Sources
from etl.dataset.splits import ColumnSplit
from etl.dataset.splitting import Rows, expects, learn
from etl.dataset.target import require_both_classes, require_labels, target
from etl.dataset.times import time_of
from etl.engines import CpuEngine, Engine
from etl.spec import EtlSpec
from etl.ticks import counted
from etl.workflow import from_spec

OWN_COLUMNS = frozenset({ROW, SPLIT, TARGET, TIME})
"""Columns that are added here, so that operators can read them: nobody has to give them."""


@dataclass(frozen=True)
class Labelled:
    """Raw rows with target, time and split.

    Attributes:
        raw: Where they come from.
        frame: ROW, the raw columns, TARGET, TIME and SPLIT, in order unless the engine restores it later.
        seen: What the first look found.
        rows: Number of rows of each split.
        positives: How many of them are positive.
    """

    raw: Raw
    frame: pl.LazyFrame
    seen: Look
    rows: Mapping[str, int]
    positives: Mapping[str, int]

    def part(self, split: str) -> pl.LazyFrame:
        """The rows of one split."""
        return self.frame.filter(pl.col(SPLIT) == SPLITS.index(split))


def label(sources: Sources, spec: EtlSpec, workplace: Path, engine: Engine, seed: int) -> Labelled:
    """Open and check the raw rows, and say of each what its target is and where it goes.

    Args:
        sources: The tables.
        spec: Target, split and features.
        workplace: A directory for temporary files; must outlive the rows.
        engine: What will run the plans.
        seed: Of the run.

    Raises:
        UserError: The data don't fit the settings, or either is at fault.
    """
    # What is told here is told again by the guard, for the manifest; refused, it is before a row is read.
    settled(spec.leaks, list(plan_findings(spec.features, spec.split, sources.roles, spec.target.column)))
    # An operator may read what another one makes, which only the types of the data tell apart.
    made = from_spec(spec.features).dependencies
    raw = open_raw(sources, wanted(sources, spec), workplace, stage=engine.staged, made=made, rules=spec.rows)
    roles = raw.roles
    time = time_of(roles.time, None if roles.time is None else raw.types[roles.time])
    timed = raw.frame.with_columns(target(spec.target, raw.types), time)
    seen = _look(raw, spec)
    frame = learn(spec.split, Rows(timed, roles, seed, engine.ordered))(timed)
    return Labelled(raw, frame, seen, *_count(frame, spec))


def _look(raw: Raw, spec: EtlSpec) -> Look:
    """Look at every row; checks that there are some, and values where there must be."""
    cpu, rows = CpuEngine(), raw.frame.select(pl.len()).collect(engine="streaming").item()
    cpu.rounds = passes_of_look(raw.types)
    try:
        with counted(cpu.source(raw.frame), "look", rows, cpu) as frame:
            seen = look(frame, raw.types)
    except pe.PolarsError as error:
        raise raw.table.fault(error) from error
    where, roles = raw.table.name, raw.roles
    require_values(seen.nulls, seen.rows, where)
    require_int64({name: summary.high for name, summary in seen.columns.items()}, where)
    require_full(seen.nulls, [spec.target.column, roles.user, roles.item, roles.time], where)
    require_labels(spec.target, raw.frame)
    return seen


def wanted(sources: Sources, spec: EtlSpec) -> dict[str, str]:
    """The raw columns that are needed -> who needs each, for messages.

    Raises:
        UserError: The column of the target is a feature too.
    """
    workflow = from_spec(spec.features)
    require_own_targets_unread(spec.features, spec.target.column)
    require_known_outcomes(spec.features, spec.rows, spec.target.column)
    asked = dict.fromkeys((*workflow.inputs, *workflow.dependencies), "a feature")
    if spec.target.column is not None:
        asked[spec.target.column] = "the target"
    for name in workflow.fit_dependencies:
        asked.setdefault(name, "the fit of a feature")
    for role, name in sources.roles.model_dump().items():
        if name is not None:
            asked.setdefault(name, f"the {role} role")
    if isinstance(spec.split, ColumnSplit):
        asked.setdefault(spec.split.column, "the split")
    return {name: why for name, why in asked.items() if name not in OWN_COLUMNS}


def _count(frame: pl.LazyFrame, spec: EtlSpec) -> tuple[dict[str, int], dict[str, int]]:
    """Rows and positive ones of each split; checks that none is empty that shouldn't be, and both classes train."""
    counts = frame.group_by(SPLIT).agg(pl.len(), (pl.col(TARGET) > 0.5).sum().alias("positive"))
    found = {number: (rows, positive) for number, rows, positive in counts.collect(engine="streaming").iter_rows()}
    sizes = [found.get(number, (0, 0)) for number in range(len(SPLITS))]
    rows, positives = ({split: size[part] for split, size in zip(SPLITS, sizes, strict=True)} for part in (0, 1))
    require_splits(rows, expects(spec.split))
    require_both_classes(spec.target, positives["train"], rows["train"])
    return rows, positives
