"""Rules for rows: which of the raw rows there are at all, before labels, splits and features.

Interactions, catalogues, splits and features all see the rows that are left. The rules are a step on the CPU,
whatever the engine: what they leave is written once, as Parquet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import BeforeValidator, Field, field_validator, model_validator

from core import log
from core.dataset import ROW, TIME
from core.errors import UserError
from core.schema import DType
from core.spec import Spec
from core.union import ByName
from etl.formula.parse import parse
from etl.formula.polars import evaluate
from etl.formula.tree import names
from etl.formula.types import require_types
from etl.k_core import Counting, k_core
from etl.ops.formula import checked
from etl.ops.windows.clock import Duration, Unit
from etl.repeats import repeats
from etl.sources import Roles
from etl.times import length_of, time_of
from etl.types import canonical, columns_of

_HOLDS = "__holds__"


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_listed)]


@dataclass(frozen=True)
class Given:
    """What a rule may know.

    Attributes:
        roles: Which columns tell who, what and when.
        own: The columns of the interactions.
    """

    roles: Roles
    own: tuple[str, ...]

    def role(self, name: Literal["user", "item", "time"], rule: str) -> str:
        """The column of a role.

        Raises:
            UserError: There is none.
        """
        column: str | None = getattr(self.roles, name)
        if column is None:
            told, cure = f"{rule} needs the {name} role", f"name its column in `data.roles.{name}`"
            raise UserError(told, where="etl.rows", cure=cure)
        return column


class Rule(Spec):
    """Settings of a rule for rows; the class says which."""

    kind: ClassVar[str]

    @property
    def makes(self) -> tuple[str, ...]:
        """Columns that it adds."""
        return ()

    def reads(self, given: Given) -> tuple[str, ...]:
        """Columns that it looks at."""
        raise NotImplementedError

    def apply(self, frame: pl.LazyFrame, given: Given) -> pl.LazyFrame:
        """The rows that stay, in order; ROW stays the number that a row has in the source."""
        raise NotImplementedError


class FilterRule(Rule):
    """Keep the rows for which a formula holds; where it is null, the row goes.

    Attributes:
        formula: See `etl.formula`.
    """

    kind = "filter"

    formula: str

    @model_validator(mode="before")
    @classmethod
    def _formula_alone(cls, value: Any) -> Any:
        return {"formula": value} if isinstance(value, str) else value

    @field_validator("formula")
    @classmethod
    def _check(cls, value: str) -> str:
        checked(value)
        return value

    def reads(self, given: Given) -> tuple[str, ...]:
        """See `Rule`."""
        return names(parse(self.formula))

    def apply(self, frame: pl.LazyFrame, given: Given) -> pl.LazyFrame:
        """See `Rule`."""
        tree = parse(self.formula)
        known = columns_of(frame.select(names(tree)).collect_schema())
        require_types(tree, known, self.formula)
        values = {}
        for name, column in known.items():
            value = canonical(name, column.dtype)
            values[name] = value if column.dtype == DType.STRING else value.cast(pl.Float64)
        return evaluate(frame, tree, values, _HOLDS).filter(pl.col(_HOLDS) != 0).drop(_HOLDS)


class DropnaRule(Rule):
    """Keep the rows that have a value in every one of these columns; NaN and the empty string are none.

    Attributes:
        columns: The columns.
    """

    kind = "dropna"

    columns: Names

    @model_validator(mode="before")
    @classmethod
    def _columns_alone(cls, value: Any) -> Any:
        return {"columns": value} if isinstance(value, str | list | tuple) else value

    def reads(self, given: Given) -> tuple[str, ...]:
        """See `Rule`."""
        return self.columns

    def apply(self, frame: pl.LazyFrame, given: Given) -> pl.LazyFrame:
        """See `Rule`."""
        known = columns_of(frame.select(self.columns).collect_schema())
        values = (canonical(name, column.dtype, is_list=column.is_list) for name, column in known.items())
        return frame.filter(pl.all_horizontal(value.is_not_null() for value in values))


class DropDuplicatesRule(Rule):
    """Keep one of the rows that are equal in these columns; nulls are equal to each other.

    Attributes:
        columns: The columns; by default all of the interactions.
        keep: Which: `first` or `last` by time, and as the rows lie where there is none or it is equal.
    """

    kind = "drop_duplicates"

    columns: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    keep: Literal["first", "last"] = "first"

    @model_validator(mode="before")
    @classmethod
    def _columns_alone(cls, value: Any) -> Any:
        return {"columns": value} if isinstance(value, str | list | tuple) else value

    def reads(self, given: Given) -> tuple[str, ...]:
        """See `Rule`."""
        return self.columns or given.own

    def apply(self, frame: pl.LazyFrame, given: Given) -> pl.LazyFrame:
        """See `Rule`; the columns, times and row numbers are held in memory."""
        order = pl.col(ROW).sort_by(TIME, ROW)
        chosen = order.first() if self.keep == "first" else order.last()
        kept = frame.group_by(self.reads(given)).agg(chosen).select(pl.col(ROW).sort()).collect(engine="streaming")
        return frame.filter(pl.col(ROW).is_in(kept[ROW].implode()))


class KCoreRule(Rule):
    """Keep users and items with enough events, until all that is left has enough; see `etl.k_core`.

    Attributes:
        user: What a user must have at least.
        item: What an item must have at least.
        count: Distinct `pairs` of user and item, or all `events`.
    """

    kind = "k_core"

    user: int = Field(default=5, ge=1)
    item: int = Field(default=5, ge=1)
    count: Counting = "pairs"

    @model_validator(mode="before")
    @classmethod
    def _number_alone(cls, value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return {"user": value, "item": value} if whole else value

    def reads(self, given: Given) -> tuple[str, ...]:
        """See `Rule`."""
        return (given.role("user", self.kind), given.role("item", self.kind))

    def apply(self, frame: pl.LazyFrame, given: Given) -> pl.LazyFrame:
        """See `Rule`."""
        user, item = self.reads(given)
        return k_core(frame, user=user, item=item, least_user=self.user, least_item=self.item, count=self.count)


class RepeatsRule(Rule):
    """Add an outcome for the target: does the key of a row occur again within some time? See `etl.repeats`.

    The last rows, whose answer isn't known yet, are dropped.

    Attributes:
        key: Columns; a user and an item: is it bought again? A user alone: does somebody come back?
        within: How long: `14d`, or seconds.
        name: Of the column, for `etl.target`.
        unit: What whole numbers of the time column count: s, ms, us, ns. Dates and times need none.
    """

    kind = "repeats"

    key: Names
    within: Duration
    name: str = Field(default="repeats", min_length=1)
    unit: Unit | None = None

    @property
    def makes(self) -> tuple[str, ...]:
        """See `Rule`."""
        return (self.name,)

    def reads(self, given: Given) -> tuple[str, ...]:
        """See `Rule`."""
        return (*self.key, given.role("time", self.kind))

    def apply(self, frame: pl.LazyFrame, given: Given) -> pl.LazyFrame:
        """See `Rule`."""
        time = given.role("time", self.kind)
        dtype = frame.select(time).collect_schema()[time]
        return repeats(frame, self.key, length_of(self.within, time, dtype, self.unit), self.name)


RULES: dict[str, type[Rule]] = {
    rule.kind: rule for rule in (FilterRule, DropnaRule, DropDuplicatesRule, KCoreRule, RepeatsRule)
}
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
    """The columns that rules look at and none of them makes -> who asks."""
    made = {name for rule in rules for name in rule.makes}
    return {name: f"{rule.kind} of etl.rows" for rule in rules for name in rule.reads(given) if name not in made}


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
    share = gone / one.before if one.before else 0.0
    told = "%s: %s of %s rows dropped (%.1f %%)"
    log.get("etl").info(told, one.rule, f"{gone:,}", f"{one.before:,}", 100 * share)
