"""The leak guard at work: it looks at samples of the raw rows and of the features once the splits are written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.dataset import ROW, TARGET
from core.schema import Tag
from etl.care.copies import copies
from etl.care.findings import Finding
from etl.care.leaks import settled
from etl.care.leaks_found import SURE, column_findings, duplicate_findings, feature_findings
from etl.care.leaks_planned import plan_findings
from etl.care.samples import Samples
from etl.dataset.label import Labelled
from etl.dataset.target import Goal, sources_of
from etl.engines import Sunk
from etl.fitted import Fitted
from etl.spec import EtlSpec

SLICES, SLICE = 8, 1250
"""A split of more rows than these make is looked at in so many slices, evenly spaced."""
ROWS = SLICES * SLICE


@dataclass(frozen=True)
class Made:
    """What the stage has made so far.

    Attributes:
        data: The raw rows.
        fitted: What was learned from them.
        files: The features, by split.
    """

    data: Labelled
    fitted: Fitted
    files: Sunk


def guard(made: Made, samples: Samples, spec: EtlSpec, profile: pl.DataFrame) -> list[Finding]:
    """Look for features that know the answer or the future.

    Args:
        made: The rows, the workflow and the features.
        samples: Of the raw rows.
        spec: The settings.
        profile: Of the raw rows.

    Raises:
        UserError: There is one, and the settings refuse that.
    """
    if spec.leaks.action == "off":
        return []
    return settled(spec.leaks, list(_look(made, samples, spec, profile)))


def _look(made: Made, samples: Samples, spec: EtlSpec, profile: pl.DataFrame) -> Iterator[Finding]:
    data, roles = made.data, made.data.raw.roles
    yield from plan_findings(spec.features, spec.split, roles, sources_of(spec.goals))
    # A target is among the inputs where operators see the answers of earlier rows.
    answers = {*sources_of(spec.goals), TARGET}
    inputs = [name for name in made.fitted.inputs_of() if name in data.raw.types and name not in answers]
    told = profile.select("name", "alone", "alone_further").iter_rows()
    areas = {name: [main, *further] for name, main, further in told}
    raw: list[Finding] = []
    for place, goal in enumerate(data.goals):
        alone = {name: areas[name][place] for name in inputs}
        rows, further = (samples.classes, None) if goal.main else (samples.further[goal.name], goal.name)
        raw += column_findings(rows, data.seen, alone, roles, spec.leaks, further=further)
    yield from raw
    drifting = profile.filter(pl.any_horizontal("drifts_valid", "drifts_test"))["name"].to_list()
    # A feature of a column that was named already, or is to be ignored, isn't news.
    known = {found.column for found in raw} | set(spec.leaks.ignore)
    made_of = {name: raw for name, raw in _worth_a_look(made.fitted, drifting) if not known.issuperset(raw)}
    numbers = [name for name in made_of if Tag.CONTINUOUS in made.fitted.schema[name].tags]
    for goal in data.goals if made_of else ():
        outputs = {split: _rows(paths, list(made_of), goal) for split, paths in made.files.files.items()}
        yield from feature_findings(outputs, numbers, made_of, spec.leaks, further=None if goal.main else goal.name)
    names = [name for name in data.raw.types if name != ROW]
    yield from duplicate_findings(copies(data.frame, samples.splits, names), spec.leaks)


def _worth_a_look(fitted: Fitted, drifting: Collection[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The features, and what each is made of, that can tell more than their raw column does.

    What is made of one column and of one row alone tells of the target at most what the column tells, which was
    looked at, and tells splits apart only where the column drifts.
    """
    alone = set(fitted.by_row())
    for column in fitted.schema:
        raw = fitted.inputs_of([column.name])
        if not column.is_list and (column.name not in alone or len(raw) != 1 or raw[0] in drifting):
            yield column.name, raw


def _rows(files: Sequence[Path], features: Sequence[str], goal: Goal) -> pl.DataFrame:
    """Features and target of a split: all rows of few; slices of many, and some positive rows where those are rare.

    Of a further target only the rows that tell it.
    """
    if not files:
        return pl.DataFrame(schema=dict.fromkeys([TARGET, *features], pl.Float32))
    scan = pl.scan_parquet(list(files), glob=False).select(pl.col(goal.column).alias(TARGET), *features)
    scan = scan if goal.main else scan.drop_nulls(TARGET)
    rows = scan.select(pl.len()).collect().item()
    if rows <= ROWS:
        return scan.collect(engine="streaming")
    starts = [(rows - SLICE) * number // (SLICES - 1) for number in range(SLICES)]
    found = pl.concat([scan.slice(start, SLICE) for start in starts]).collect(engine="streaming")
    if (found[TARGET] > 0.5).sum() >= SURE:
        return found
    return pl.concat([found, scan.filter(pl.col(TARGET) > 0.5).head(SLICE).collect(engine="streaming")])
