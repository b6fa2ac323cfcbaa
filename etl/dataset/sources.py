"""Where the raw rows come from: interactions, and the tables of users and items that are joined to them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from core.spec import Spec, listed

RawType = Literal["int64", "float64", "string", "bool", "datetime"]


class TableSpec(Spec):
    """Files of one table.

    Attributes:
        path: One path, a glob or a list of either; relative ones have been resolved by who read the config.
        format: Guessed from the suffix by default (`.parquet`, `.pq`; `.csv`, `.tsv`, `.txt`, with or without `.gz`).
        separator: Of a CSV; by default a tab in `.tsv` files and a comma elsewhere.
        columns: Names of the columns of a CSV without a header line.
        dtypes: Types of columns of a CSV that the values don't tell (a postcode that is no number).
        nulls: Texts of a CSV that mean "no value", beside the empty one.

    Example:
        >>> TableSpec(path="ratings.tsv").path
        ('ratings.tsv',)
    """

    path: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(min_length=1)
    format: Literal["csv", "parquet"] | None = None
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    columns: tuple[str, ...] = ()
    dtypes: dict[str, RawType] = Field(default_factory=dict)
    nulls: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()


class Roles(Spec):
    """Which columns tell who, what and when; all optional (adult and Criteo have none).

    Attributes:
        user: Id of the user, an integer or a string.
        item: Id of the item, an integer or a string.
        time: When it happened: a number that grows, a date or a datetime.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        given = [name for name in (self.user, self.item, self.time) if name is not None]
        if len(set(given)) < len(given):
            raise ValueError("each role must have a column of its own")
        return self


class Sources(Spec):
    """All raw data of a run.

    Attributes:
        interactions: One row an event; defines the rows and their order.
        users: One row a user, joined by the user id.
        items: One row an item, joined by the item id.
        roles: Which columns tell who, what and when.
        title: The column of `items` to show to people.
    """

    interactions: TableSpec
    users: TableSpec | None = None
    items: TableSpec | None = None
    roles: Roles = Roles()
    title: str | None = None

    @model_validator(mode="after")
    def _joinable(self) -> Self:
        for side, table, role in (("users", self.users, self.roles.user), ("items", self.items, self.roles.item)):
            if table is not None and role is None:
                raise ValueError(f"`{side}` is joined by id: name its column in `roles.{side[:-1]}`")
        if self.title is not None and self.items is None:
            raise ValueError("`title` names a column of `items`, and there is no items table")
        return self
