"""Rules that choose rows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BeforeValidator, Field, field_validator, model_validator

from core.dataset import ROW, TIME
from core.spec import listed
from etl.formula.parse import parse
from etl.formula.tree import names
from etl.ops.formula import checked
from etl.rows.base import Given, Names, Rule, evaluated
from etl.rows.k_core import Counting, k_core
from etl.types import canonical, columns_of

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 1}
_NAMES = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_HOLDS = "__holds__"


class FilterRule(Rule):
    """Keep the rows for which a formula holds; where it is null, the row goes.

    Attributes:
        formula: See `etl.formula`.
    """

    kind = "filter"
    short = _TEXT

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
        return evaluated(frame, self.formula, _HOLDS).filter(pl.col(_HOLDS) != 0).drop(_HOLDS)


class DropnaRule(Rule):
    """Keep the rows that have a value in every one of these columns; NaN and the empty string are none.

    Attributes:
        columns: The columns.
    """

    kind = "dropna"
    short = _NAMES

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
    short = _NAMES

    columns: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
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
    """Keep users and items with enough events, until all that is left has enough; see `etl.rows.k_core`.

    Attributes:
        user: What a user must have at least.
        item: What an item must have at least.
        count: Distinct `pairs` of user and item, or all `events`.
    """

    kind = "k_core"
    short = _COUNT

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
