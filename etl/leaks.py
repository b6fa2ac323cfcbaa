"""The leak guard: features that know the answer, or the future.

What is certain is refused before anything is learned: the target's column as a feature, and an operator that reads
the target of the row itself. Everything else is a sign and no proof, found in samples of bounded size, and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BeforeValidator, Field

from core.dataset import TARGET
from core.errors import UserError
from core.spec import Spec
from etl.alone import ENOUGH, alone, auc, presence
from etl.drift import drift
from etl.features import FeatureSpec
from etl.findings import Finding
from etl.look import Look
from etl.ops.base import Operator, Rows
from etl.sources import Roles
from etl.splits import ColumnSplit, RandomSplit, SplitSpec

APART = 0.99
"""KS (numbers) or JS (else) from which a feature tells the splits apart."""
GAP = 0.15
"""AUC that a feature may lose from training to validation rows."""
SURE = 5 * ENOUGH
"""Rows of either class in both splits before that loss is believed."""
EARLIER = frozenset({"lag", "history", "rolling"})
"""Operators that see strictly earlier rows alone, so that the target may be their column."""
EVERY = 0.8
"""Distinct values a row from which a column is said to identify its row (they are counted within a tenth)."""


def _action(value: object) -> object:
    return {"action": value} if isinstance(value, str | bool) else value


class LeakSpec(Spec):
    """What to do about features that may know the answer or the future.

    Attributes:
        action: `warn` (log, manifest, report), `refuse` (end with an error), or `off` (don't look). What is
            certain, the target as a feature, is refused in any case.
        ignore: Columns and features to be silent about, because someone has looked.
        alone: AUC from which a column that alone tells the target is named.
        duplicates: Share of the held-out rows from which copies of training rows are named.

    Example:
        >>> LeakSpec(ignore=["row_number"]).action
        'warn'
    """

    action: Literal["warn", "refuse", "off"] = "warn"
    ignore: tuple[str, ...] = ()
    alone: float = Field(default=0.99, gt=0.5, le=1)
    duplicates: float = Field(default=0.01, ge=0, le=1)


AnyLeaks = Annotated[LeakSpec, BeforeValidator(_action)]
"""Settings of the guard as a field: a bare action, or all of them."""


def settled(spec: LeakSpec, findings: Sequence[Finding]) -> list[Finding]:
    """What is left to tell of what was found.

    Raises:
        UserError: The settings refuse it.
    """
    if spec.action == "off":
        return []
    left = [found for found in findings if found.column not in spec.ignore]
    if left and spec.action == "refuse":
        told = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        cure = f"leave it out, or name it under `etl.leaks.ignore`: [{left[0].column}]"
        raise UserError(f"{left[0].told}{told}", where="etl.leaks", cure=cure)
    return left


def require_own_targets_unread(features: Sequence[FeatureSpec], target: str) -> None:
    """Check that no feature is made of the target of its own row.

    Raises:
        UserError: One is; names it.
    """
    answers = {target, TARGET}
    for feature in features:
        columns = {name for one in feature.columns for name in ((one,) if isinstance(one, str) else one)}
        if answers.intersection(columns) and feature.ops[0].kind not in EARLIER:
            raise UserError(
                f"the column {target} is the target and a feature, so the answer would leak",
                where="etl.features",
                cure="take it out of the features, or let `lag` come first: what was the answer before?",
            )
        for operator in feature.ops:
            if _reads_own(operator) and answers.intersection(operator.dependencies):
                raise UserError(
                    f"{operator.kind} reads the target of the row itself, so the answer would leak",
                    where=f"feature {_names(feature)}",
                    cure="use an operator that sees other rows only: target_encoding, or a history",
                )


def _reads_own(operator: Operator[Any]) -> bool:
    """Whether what it depends on, of the same row, goes into a feature."""
    return operator.kind not in EARLIER and operator.rows is not Rows.DROPPED and not operator.windowed


def plan_findings(features: Sequence[FeatureSpec], split: SplitSpec, roles: Roles, target: str) -> Iterator[Finding]:
    """What the settings alone tell."""
    chance = isinstance(split, RandomSplit)
    if chance and roles.time:
        told = f"the split is random though {roles.time} tells the time, so models learn from rows later than those"
        yield Finding("split", roles.time, f"{told} that judge them; `split: time` is the honest one")
    for feature in features:
        for operator in feature.ops:
            yield from _operator(operator, _names(feature), target, unordered=chance or isinstance(split, ColumnSplit))


def _operator(operator: Operator[Any], columns: str, target: str, *, unordered: bool) -> Iterator[Finding]:
    answers = {target, TARGET}
    if operator.rows is Rows.DROPPED and answers.intersection(operator.dependencies):
        told = f"{operator.kind} of {columns} chooses rows by their target, which nobody knows of rows to come"
        yield Finding("rows", columns, told)
    seen = {*operator.dependencies, *columns.split(", ")}
    if operator.windowed and unordered and answers.intersection(seen):
        told = (
            f"{operator.kind} of {columns} sees targets of earlier rows, and with this split held-out rows lie before "
        )
        yield Finding("history", columns, told + "training rows: split by time, by user_time or leave_last_out")
    if not operator.numbered and not operator.windowed and answers.intersection(operator.fit_dependencies):
        told = f"{operator.kind} of {columns} learns from the targets of the very rows that it is trained on"
        yield Finding("target", columns, f"{told}; target_encoding leaves them out")


def _names(feature: FeatureSpec) -> str:
    return ", ".join(name if isinstance(name, str) else "_".join(name) for name in feature.columns)


def column_findings(
    rows: Mapping[str, pl.DataFrame], seen: Look, inputs: Mapping[str, float | None], roles: Roles, spec: LeakSpec
) -> Iterator[Finding]:
    """What the raw columns of the features tell.

    Args:
        rows: Split -> a sample of its rows, with TARGET.
        seen: What the first look found in all rows.
        inputs: The raw columns that features are made of -> how well each alone tells the target (`etl.alone`).
        roles: Which columns tell who, what and when.
        spec: The limits.
    """
    answer = rows["train"][TARGET]
    for name, told in inputs.items():
        values = rows["train"][name]
        there = presence(values, answer)
        if there is not None and there >= spec.alone:
            why = f"whether the column {name} is null tells the target (AUC {there:.3f} on training rows)"
            yield Finding("presence", name, f"{why}; is it filled in only after the event?")
        elif told is not None and told >= spec.alone:
            why = f"the column {name} alone tells the target (AUC {told:.3f} on training rows)"
            yield Finding("alone", name, f"{why}; is it known before the event?")
        elif told is not None and told >= 0.5 + GAP and (values.dtype.is_numeric() or values.dtype.is_temporal()):
            yield from _gap("column", name, rows)
        if name not in (roles.user, roles.item) and _identifies(values, seen, name):
            why = f"the column {name} holds another value in every row"
            yield Finding("row", name, f"{why}: as a feature it can only be learned by heart")


def _identifies(values: pl.Series, seen: Look, name: str) -> bool:
    if not (values.dtype.is_integer() or values.dtype == pl.String) or seen.rows < SURE:
        return False
    there = seen.rows - seen.columns[name].nulls
    return seen.columns[name].distinct >= EVERY * there > 0 and values.drop_nulls().is_duplicated().sum() == 0


def feature_findings(
    outputs: Mapping[str, pl.DataFrame], numbers: Sequence[str], made_of: Mapping[str, Sequence[str]], spec: LeakSpec
) -> Iterator[Finding]:
    """What the features themselves tell.

    Args:
        outputs: Split -> a sample of its rows, with TARGET.
        numbers: The features that are numbers; the others are ids.
        made_of: Feature -> raw columns.
        spec: The limits.
    """
    train = outputs["train"]
    for name in made_of:
        told = alone(train[name], train[TARGET])
        if told is not None and told >= spec.alone:
            why = f"the feature {name} (of {', '.join(made_of[name])}) alone tells the target"
            yield Finding("alone", name, f"{why} (AUC {told:.3f} on training rows); is it known before the event?")
        elif name in numbers:
            yield from _gap("feature", name, outputs)
        for split in ("valid", "test"):
            found = drift(train[name], outputs[split][name]) if outputs[split].height >= SURE else None
            apart = None if found is None else (found.ks if name in numbers else found.js)
            if apart is not None and apart >= APART:
                measure = "KS" if name in numbers else "JS"
                why = f"the feature {name} tells {split} rows from training rows ({measure} {apart:.3f})"
                yield Finding("split", name, f"{why}: what is learned from it does not carry over")
                break


def _gap(noun: str, name: str, rows: Mapping[str, pl.DataFrame]) -> Iterator[Finding]:
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
        why = f"the {noun} {name} tells the target on training rows and much less on validation rows"
        yield Finding("gap", name, f"{why} (AUC {before:.3f} and {after:.3f}); was it made from the row's own target?")


def duplicate_findings(shares: Mapping[str, float], spec: LeakSpec) -> Iterator[Finding]:
    """Held-out rows that training rows repeat."""
    for split, share in shares.items():
        if share >= spec.duplicates and share > 0:
            told = f"{share:.1%} of the {split} rows are copies of training rows, in every column and the target"
            yield Finding("duplicates", "", told)
