"""Raw rows with their target, their time and their side of the split; everything that can be wrong is checked here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

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
from etl.dataset.target import Goal, require_both_classes, require_labels, sources_of, target
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
        frame: ROW, the raw columns, those of the goals, TIME and SPLIT, in order unless the engine restores it later.
        seen: What the first look found.
        goals: The targets, the main one first.
        rows: Number of rows of each split.
        known: Goal -> split -> rows of which it is known.
        positives: Goal -> split -> how many of them are positive.
    """

    raw: Raw
    frame: pl.LazyFrame
    seen: Look
    goals: tuple[Goal, ...]
    rows: Mapping[str, int]
    known: Mapping[str, Mapping[str, int]]
    positives: Mapping[str, Mapping[str, int]]

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
    settled(spec.leaks, list(plan_findings(spec.features, spec.split, sources.roles, sources_of(spec.goals))))
    # An operator may read what another one makes, which only the types of the data tell apart.
    made = from_spec(spec.features).dependencies
    raw = open_raw(sources, wanted(sources, spec), workplace, stage=engine.staged, made=made, rules=spec.rows)
    roles = raw.roles
    time = time_of(roles.time, None if roles.time is None else raw.types[roles.time])
    timed = raw.frame.with_columns(*(target(goal, raw.types) for goal in spec.goals), time)
    seen = _look(raw, spec)
    frame = learn(spec.split, Rows(timed, roles, seed, engine.ordered))(timed)
    return Labelled(raw, frame, seen, spec.goals, *_count(frame, spec))


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
    require_full(seen.nulls, [spec.goals[0].rule.column, roles.user, roles.item, roles.time], where)
    for goal in spec.goals:
        require_labels(goal, raw.frame)
    return seen


def wanted(sources: Sources, spec: EtlSpec) -> dict[str, str]:
    """The raw columns that are needed -> who needs each, for messages.

    Raises:
        UserError: The column of the target is a feature too.
    """
    workflow = from_spec(spec.features)
    require_own_targets_unread(spec.features, sources_of(spec.goals))
    require_known_outcomes(spec.features, spec.rows, spec.goals[0].rule.column)
    asked = dict.fromkeys((*workflow.inputs, *workflow.dependencies), "a feature")
    for name in sources_of(spec.goals):
        asked[name] = "the target"
    for name in workflow.fit_dependencies:
        asked.setdefault(name, "the fit of a feature")
    for role, name in sources.roles.model_dump().items():
        if name is not None:
            asked.setdefault(name, f"the {role} role")
    if isinstance(spec.split, ColumnSplit):
        asked.setdefault(spec.split.column, "the split")
    return {name: why for name, why in asked.items() if name not in OWN_COLUMNS}


Counts: TypeAlias = dict[str, int]


def _count(frame: pl.LazyFrame, spec: EtlSpec) -> tuple[Counts, dict[str, Counts], dict[str, Counts]]:
    """Rows of each split, and those of each goal that are known and positive.

    Checks that no split is empty that shouldn't be, and that both classes of each goal train.
    """
    told = {f"known_{goal.name}": pl.col(goal.column).count() for goal in spec.goals}
    told |= {f"positive_{goal.name}": (pl.col(goal.column) > 0.5).sum() for goal in spec.goals}
    counts = frame.group_by(SPLIT).agg(pl.len().alias("rows"), **told).collect(engine="streaming")
    found = {row[SPLIT]: row for row in counts.iter_rows(named=True)}

    def by_split(name: str) -> Counts:
        return {split: int(found.get(number, {}).get(name, 0)) for number, split in enumerate(SPLITS)}

    rows = by_split("rows")
    require_splits(rows, expects(spec.split))
    known = {goal.name: by_split(f"known_{goal.name}") for goal in spec.goals}
    positives = {goal.name: by_split(f"positive_{goal.name}") for goal in spec.goals}
    for goal in spec.goals:
        require_both_classes(goal, positives[goal.name]["train"], known[goal.name]["train"])
    return rows, known, positives
