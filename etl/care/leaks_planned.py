"""Leaks that the settings of a run tell: the target as a feature, and operators that read it, or the future.

What is certain is refused before anything is learned; the rest is a finding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from core.dataset import TARGET
from core.errors import UserError
from etl.care.findings import Finding
from etl.dataset.sources import Roles
from etl.dataset.splits import ColumnSplit, RandomSplit, SplitSpec, UserRandomSplit, UsersSplit
from etl.features import FeatureSpec
from etl.ops.base import Operator, Rows
from etl.ops.windows.clock import seconds
from etl.rows import RepeatsRule
from etl.rows.base import Rule


def require_own_targets_unread(features: Sequence[FeatureSpec], targets: Collection[str]) -> None:
    """Check that no feature is made of a target of its own row.

    Args:
        features: The features.
        targets: The raw columns that tell the targets.

    Raises:
        UserError: One is; names it.
    """
    answers = {TARGET, *targets}
    for feature in features:
        read = answers.intersection(_columns(feature)) & feature.ops[0].own(_columns(feature))
        if read:
            raise UserError(
                f"the column {min(read)} is the target and a feature, so the answer would leak",
                where="etl.features",
                cure="take it out of the features, or let `lag` come first: what was the answer before?",
            )
        for operator in feature.ops:
            if operator.rows is not Rows.DROPPED and answers & operator.own(()):
                raise UserError(
                    f"{operator.kind} reads the target of the row itself, so the answer would leak",
                    where=f"feature {_names(feature)}",
                    cure="use an operator that sees other rows only: target_encoding, or a history",
                )


def require_known_outcomes(features: Sequence[FeatureSpec], rules: Sequence[Rule], target: str | None) -> None:
    """Check that no feature is made of an outcome (`rows: repeats`) before it is known.

    Raises:
        UserError: One is; names it.
    """
    for rule in rules:
        if not isinstance(rule, RepeatsRule):
            continue
        answers = {rule.name, *([TARGET] if rule.name == target else [])}
        for feature in features:
            for place, operator in enumerate(feature.ops):
                columns = _columns(feature) if place == 0 else set[str]()
                if answers.intersection({*operator.dependencies, *columns}):
                    _require_late(operator, feature, rule, own=bool(answers & operator.own(columns)))


def _require_late(operator: Operator[Any], feature: FeatureSpec, rule: RepeatsRule, *, own: bool) -> None:
    if own:
        raise UserError(
            f"the column {rule.name} is an outcome that is known {rule.within} later, so the future would leak",
            where=f"feature {_names(feature)}",
            cure="take it out of the features, or let `lag` or a history see it, with a delay",
        )
    if seconds(getattr(operator, "delay", 0)) < seconds(rule.within):
        raise UserError(
            f"{operator.kind} sees {rule.name} of earlier rows before it is known, {rule.within} later",
            where=f"feature {_names(feature)}",
            cure=f"set `delay: {rule.within}`",
        )


def plan_findings(
    features: Sequence[FeatureSpec], split: SplitSpec, roles: Roles, targets: Collection[str]
) -> Iterator[Finding]:
    """What the settings alone tell; `targets` are the raw columns that tell the targets."""
    chance = isinstance(split, RandomSplit | UserRandomSplit | UsersSplit)
    if chance and roles.time:
        told = f"the split is random though {roles.time} tells the time, so models learn from rows later than those"
        yield Finding("split", roles.time, f"{told} that judge them; `split: time` is the honest one")
    for feature in features:
        for operator in feature.ops:
            yield from _operator(operator, feature, targets, unordered=chance or isinstance(split, ColumnSplit))


def _operator(
    operator: Operator[Any], feature: FeatureSpec, targets: Collection[str], *, unordered: bool
) -> Iterator[Finding]:
    answers, columns = {TARGET, *targets}, _names(feature)
    if operator.rows is Rows.DROPPED and answers.intersection(operator.dependencies):
        told = f"{operator.kind} of {columns} chooses rows by their target, which nobody knows of rows to come"
        yield Finding("rows", columns, told)
    seen = {*operator.dependencies, *_columns(feature)}
    if operator.windowed and unordered and answers.intersection(seen):
        told = (
            f"{operator.kind} of {columns} sees targets of earlier rows, and with this split held-out rows lie before "
        )
        yield Finding("history", columns, told + "training rows: split by time, by user_time or leave_last_out")
    if not operator.numbered and not operator.windowed and answers.intersection(operator.fit_dependencies):
        told = f"{operator.kind} of {columns} learns from the targets of the very rows that it is trained on"
        yield Finding("target", columns, f"{told}; target_encoding leaves them out")


def _columns(feature: FeatureSpec) -> set[str]:
    return {name for one in feature.columns for name in ((one,) if isinstance(one, str) else one)}


def _names(feature: FeatureSpec) -> str:
    return ", ".join(name if isinstance(name, str) else "_".join(name) for name in feature.columns)
