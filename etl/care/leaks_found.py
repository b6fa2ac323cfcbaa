"""Signs of leaks in samples of bounded size: of the raw rows, and of the features that were made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from core.dataset import TARGET
from etl.care.alone import ENOUGH, alone, auc, presence
from etl.care.drift import drift
from etl.care.findings import Finding
from etl.care.leaks import LeakSpec
from etl.care.look import Look
from etl.dataset.sources import Roles

APART = 0.99
"""KS (numbers) or JS (else) from which a feature tells the splits apart."""
GAP = 0.15
"""AUC that a feature may lose from training to validation rows."""
SURE = 5 * ENOUGH
"""Rows of either class in both splits before that loss is believed."""
EVERY = 0.8
"""Distinct values a row from which a column is said to identify its row (they are counted within a tenth)."""


def column_findings(
    rows: Mapping[str, pl.DataFrame],
    seen: Look,
    inputs: Mapping[str, float | None],
    roles: Roles,
    spec: LeakSpec,
    *,
    further: str | None = None,
) -> Iterator[Finding]:
    """What the raw columns of the features tell.

    Args:
        rows: Split -> a sample of its rows, with TARGET.
        seen: What the first look found in all rows.
        inputs: The raw columns that features are made of -> how well each alone tells the target (`etl.care.alone`).
        roles: Which columns tell who, what and when.
        spec: The limits.
        further: Name of the target that stands as TARGET, where it isn't the main one.
    """
    answer, goal = rows["train"][TARGET], _goal(further)
    for name, told in inputs.items():
        values = rows["train"][name]
        there = presence(values, answer)
        if there is not None and there >= spec.alone:
            why = f"whether the column {name} is null tells {goal} (AUC {there:.3f} on training rows)"
            yield Finding("presence", name, f"{why}; is it filled in only after the event?")
        elif told is not None and told >= spec.alone:
            why = f"the column {name} alone tells {goal} (AUC {told:.3f} on training rows)"
            yield Finding("alone", name, f"{why}; is it known before the event?")
        elif told is not None and told >= 0.5 + GAP and (values.dtype.is_numeric() or values.dtype.is_temporal()):
            yield from _gap("column", name, rows, goal)
        if further is None and name not in (roles.user, roles.item) and _identifies(values, seen, name):
            why = f"the column {name} holds another value in every row"
            yield Finding("row", name, f"{why}: as a feature it can only be learned by heart")


def _goal(further: str | None) -> str:
    return "the target" if further is None else f"the target {further}"


def _identifies(values: pl.Series, seen: Look, name: str) -> bool:
    if not (values.dtype.is_integer() or values.dtype == pl.String) or seen.rows < SURE:
        return False
    there = seen.rows - seen.columns[name].nulls
    return seen.columns[name].distinct >= EVERY * there > 0 and values.drop_nulls().is_duplicated().sum() == 0


def feature_findings(
    outputs: Mapping[str, pl.DataFrame],
    numbers: Sequence[str],
    made_of: Mapping[str, Sequence[str]],
    spec: LeakSpec,
    *,
    further: str | None = None,
) -> Iterator[Finding]:
    """What the features themselves tell.

    Args:
        outputs: Split -> a sample of its rows, with TARGET.
        numbers: The features that are numbers; the others are ids.
        made_of: Feature -> raw columns.
        spec: The limits.
        further: Name of the target that stands as TARGET, where it isn't the main one.
    """
    train, goal = outputs["train"], _goal(further)
    for name in made_of:
        told = alone(train[name], train[TARGET])
        if told is not None and told >= spec.alone:
            why = f"the feature {name} (of {', '.join(made_of[name])}) alone tells {goal}"
            yield Finding("alone", name, f"{why} (AUC {told:.3f} on training rows); is it known before the event?")
        elif name in numbers:
            yield from _gap("feature", name, outputs, goal)
        # What tells the splits apart is told once.
        for split in ("valid", "test") if further is None else ():
            found = drift(train[name], outputs[split][name]) if outputs[split].height >= SURE else None
            apart = None if found is None else (found.ks if name in numbers else found.js)
            if apart is not None and apart >= APART:
                measure = "KS" if name in numbers else "JS"
                why = f"the feature {name} tells {split} rows from training rows ({measure} {apart:.3f})"
                yield Finding("split", name, f"{why}: what is learned from it does not carry over")
                break


def _gap(noun: str, name: str, rows: Mapping[str, pl.DataFrame], goal: str) -> Iterator[Finding]:
    """A number that tells the target on the rows it was learned from, and not on others, has read their answers."""
    train, valid = rows["train"], rows["valid"]
    if any(min((one[TARGET] > 0.5).sum(), (one[TARGET] <= 0.5).sum()) < SURE for one in (train, valid)):
        return
    before, after = auc(train[name], train[TARGET]), auc(valid[name], valid[TARGET])
    if before is None or after is None:
        return
    # The direction is that of the training rows.
    before, after = (before, after) if before >= 0.5 else (1 - before, 1 - after)
    if before - after >= GAP:
        why = f"the {noun} {name} tells {goal} on training rows and much less on validation rows"
        yield Finding("gap", name, f"{why} (AUC {before:.3f} and {after:.3f}); was it made from the row's own target?")


def duplicate_findings(shares: Mapping[str, float], spec: LeakSpec) -> Iterator[Finding]:
    """Held-out rows that training rows repeat."""
    for split, share in shares.items():
        if share >= spec.duplicates and share > 0:
            told = f"{share:.1%} of the {split} rows are copies of training rows, in every column and the target"
            yield Finding("duplicates", "", told)
