"""Rules for rows: which of the raw rows there are at all, before labels, splits and features.

Interactions, catalogues, splits and features all see the rows that are left. The rules are a step on the CPU,
whatever the engine: what they leave is written once, as Parquet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import polars as pl

from core import log
from core.dataset import TIME
from core.errors import UserError
from core.union import ByName
from etl.dataset.times import time_of
from etl.rows.base import Given, Rule
from etl.rows.choose import DropDuplicatesRule, DropnaRule, FilterRule, KCoreRule
from etl.rows.make import BasketsRule, RepeatsRule

__all__ = ["RULES", "AnyRule", "Dropped", "Given", "RepeatsRule", "Rule", "apply_rules", "wanted_of"]

_KINDS: tuple[type[Rule], ...] = (FilterRule, DropnaRule, DropDuplicatesRule, KCoreRule, RepeatsRule, BasketsRule)
RULES: dict[str, type[Rule]] = {rule.kind: rule for rule in _KINDS}
AnyRule = Annotated[Rule, ByName(RULES, noun="rule")]
"""A rule as a field of settings: `{filter: "price > 0"}`, `{dropna: [user_id]}`, `{k_core: 5}`."""


@dataclass(frozen=True)
class Dropped:
    """What a rule did.

    Attributes:
        rule: Its kind.
        before: Rows that it met.
        after: Rows that it left.
    """

    rule: str
    before: int
    after: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def wanted_of(rules: Sequence[Rule], given: Given) -> dict[str, str]:
    """The columns that rules look at and no rule before them makes -> who asks."""
    made: set[str] = set()
    asked: dict[str, str] = {}
    for rule in rules:
        for name in rule.reads(given):
            if name not in made:
                asked.setdefault(name, f"{rule.kind} of etl.rows")
        made.update(rule.makes)
    return asked


def apply_rules(
    frame: pl.LazyFrame, rules: Sequence[Rule], given: Given, types: Mapping[str, pl.DataType], where: str
) -> tuple[pl.LazyFrame, tuple[Dropped, ...]]:
    """Apply rules one after another, and say in the log how many rows each dropped.

    Args:
        frame: Raw rows with ROW, in order.
        rules: The rules.
        given: What they may know.
        types: Of the columns of the frame.
        where: How messages call the rows.

    Raises:
        UserError: A rule can't work on the columns, or no row is left; names the rule that took the last ones.
    """
    time = given.roles.time
    stages = [frame.with_columns(time_of(time, None if time is None else types[time]))]
    for number, rule in enumerate(rules, start=1):
        try:
            stages.append(rule.apply(stages[-1], given))
        except UserError as error:
            raise UserError(error.what, where=f"etl.rows, rule {number}, {error.where}", cure=error.cure) from None
    found = pl.collect_all([stage.select(pl.len()) for stage in stages], engine="streaming")
    counts = [int(one.item()) for one in found]
    dropped = []
    for number, rule in enumerate(rules, start=1):
        one = Dropped(rule.kind, counts[number - 1], counts[number])
        _tell(one)
        dropped.append(one)
        if one.before and not one.after:
            told = f"{rule.kind} (rule {number} of etl.rows) drops the last {one.before:,} rows, so none are left"
            raise UserError(told, where=where, cure="mend the rule, or give data that pass it")
    return stages[-1].drop(TIME), tuple(dropped)


def _tell(one: Dropped) -> None:
    gone = one.before - one.after
    if one.rule == BasketsRule.kind:
        return
    share = gone / one.before if one.before else 0.0
    told = "%s: %s of %s rows dropped (%.1f %%)"
    log.get("etl").info(told, one.rule, f"{gone:,}", f"{one.before:,}", 100 * share)
