"""The leak guard at work: it looks at samples of the raw rows and of the features once the splits are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.dataset import ROW, TARGET
from core.schema import Tag
from etl.copies import copies
from etl.engines import Sunk
from etl.findings import Finding
from etl.fitted import Fitted
from etl.label import Labelled
from etl.leaks import column_findings, duplicate_findings, feature_findings, plan_findings, settled
from etl.samples import Samples
from etl.spec import EtlSpec

SLICES, SLICE = 8, 6250
"""A split of more rows than these make is looked at in so many slices, evenly spaced."""


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


def guard(made: Made, samples: Samples, spec: EtlSpec) -> list[Finding]:
    """Look for features that know the answer or the future.

    Raises:
        UserError: There is one, and the settings refuse that.
    """
    if spec.leaks.action == "off":
        return []
    return settled(spec.leaks, list(_look(made, samples, spec)))


def _look(made: Made, samples: Samples, spec: EtlSpec) -> Iterator[Finding]:
    data, roles = made.data, made.data.raw.roles
    yield from plan_findings(spec.features, spec.split, roles, spec.target.column)
    inputs = [name for name in made.fitted.inputs_of() if name in data.raw.types]
    raw = list(column_findings(samples.splits["train"], data.seen, inputs, roles, spec.leaks))
    yield from raw
    # A feature of a column that was named already, or is to be ignored, isn't news.
    known = {found.column for found in raw} | set(spec.leaks.ignore)
    made_of = {name: made.fitted.inputs_of([name]) for name in made.fitted.schema.names}
    fresh = {name: raw for name, raw in made_of.items() if not known.issuperset(raw)}
    columns = {column.name: column for column in made.fitted.schema if not column.is_list}
    fresh = {name: raw for name, raw in fresh.items() if name in columns}
    numbers = [name for name in fresh if Tag.CONTINUOUS in columns[name].tags]
    outputs = {split: _rows(paths, list(fresh)) for split, paths in made.files.files.items()}
    yield from feature_findings(outputs, numbers, fresh, spec.leaks)
    names = [name for name in data.raw.types if name != ROW]
    yield from duplicate_findings(copies(data.frame, samples.splits, names), spec.leaks)


def _rows(files: Sequence[Path], features: Sequence[str]) -> pl.DataFrame:
    """Features and target of a split: all rows of few, slices of many."""
    if not files:
        return pl.DataFrame(schema=dict.fromkeys([TARGET, *features], pl.Float32))
    scan = pl.scan_parquet(list(files), glob=False).select(TARGET, *features)
    rows = scan.select(pl.len()).collect().item()
    if rows <= SLICES * SLICE:
        return scan.collect(engine="streaming")
    starts = [(rows - SLICE) * number // (SLICES - 1) for number in range(SLICES)]
    return pl.concat([scan.slice(start, SLICE) for start in starts]).collect(engine="streaming")
