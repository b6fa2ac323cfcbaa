"""Settings up to the ETL: what of a config file can be read without torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from core.errors import UserError
from core.spec import Spec, fault_at
from etl.dataset.sources import Roles, Sources, TableSpec
from etl.spec import EtlSpec
from pipeline.datasets import NamedData, sources


def _kind(value: Any) -> str:
    named = isinstance(value, NamedData) or (isinstance(value, dict) and "dataset" in value)
    return "<named data set>" if named else "<files>"


def _named(value: Any) -> Any:
    return {"dataset": value} if isinstance(value, str) else value


Interactions = Annotated[
    Annotated[NamedData, Tag("<named data set>")] | Annotated[TableSpec, Tag("<files>")],
    Discriminator(_kind),
    BeforeValidator(_named, json_schema_input_type=str | NamedData | TableSpec),
]
"""A named data set (`ml-100k`, `{dataset: criteo-like, rows: 100000}`) or files (`{path: ...}`)."""


class ItemTableSpec(TableSpec):
    """Files of the items.

    Attributes:
        title: The column to show to people.
    """

    title: str | None = None


class DataSpec(Spec):
    """Where the raw rows come from.

    Attributes:
        interactions: One row an event: a named data set, or files.
        users: One row a user; a named data set brings its own.
        items: One row an item; a named data set brings its own.
        roles: Which columns tell who, what and when; a named data set brings its own.

    Example:
        >>> DataSpec(interactions="ml-100k").interactions.dataset
        'ml-100k'
    """

    interactions: Interactions
    users: TableSpec | None = None
    items: ItemTableSpec | None = None
    roles: Roles = Roles()

    @model_validator(mode="after")
    def _known(self) -> Self:
        if isinstance(self.interactions, NamedData):
            try:
                self.interactions.parameters()
            except UserError as error:
                raise fault_at(("interactions",), f"{error.what}; {error.cure}") from None
        return self

    def all_roles(self) -> Roles:
        """The roles that a named data set brings, with those of the config laid over them."""
        brought = self.interactions.description().roles if isinstance(self.interactions, NamedData) else {}
        return Roles.model_validate({**brought, **self.roles.model_dump(exclude_none=True)})

    def placed(self, base: Path) -> Self:
        """The same with the paths of its files seen from the root.

        Args:
            base: Directory that relative paths start from.
        """
        tables = {name: getattr(self, name) for name in ("interactions", "users", "items")}
        found = {name: _placed(one, base) for name, one in tables.items() if isinstance(one, TableSpec)}
        return self.model_copy(update=found)

    def resolve(self, base: Path) -> Sources:
        """Say where the files lie; a named data set is fetched where it is not in the cache.

        Args:
            base: Directory that relative paths start from.

        Raises:
            UserError: A named data set can't be fetched, or the tables don't fit together.
        """
        given: dict[str, Any] = {"roles": self.all_roles()}
        if isinstance(self.interactions, NamedData):
            brought = sources(self.interactions)
            given |= {"interactions": brought.interactions, "users": brought.users, "items": brought.items}
            given["title"] = brought.title
        else:
            given["interactions"] = _placed(self.interactions, base)
        if self.users is not None:
            given["users"] = _placed(self.users, base)
        if self.items is not None:
            files = TableSpec.model_validate(self.items.model_dump(exclude={"title"}))
            given |= {"items": _placed(files, base), "title": self.items.title}
        return Sources.model_validate(given)


class EtlRunSpec(Spec):
    """A run as far as the ETL.

    Settings of models import torch, which the ETL neither needs nor waits for; so their sections are only carried
    along here, and `pipeline.spec.RunSpec` reads them.

    Attributes:
        name: Name of its directory under `runs/`.
        seed: What every random choice comes from.
        data: Raw rows.
        etl: What happens to them.
        train: As it was typed.
        evaluate: As it was typed.
        export: As it was typed.
        tune: As it was typed.
        track: As it was typed.
    """

    name: str = Field(min_length=1, max_length=100)
    seed: int = Field(default=42, ge=0, lt=2**31)
    data: DataSpec
    etl: EtlSpec
    train: Any
    evaluate: Any = Field(default_factory=dict)
    export: Any = Field(default_factory=dict)
    tune: Any = None
    track: Any = None

    @field_validator("name")
    @classmethod
    def _is_a_directory(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
            raise ValueError(f"must be letters, digits and . _ - only, a letter or digit first, got {value!r}")
        return value


def _placed(table: TableSpec, base: Path) -> TableSpec:
    return table.model_copy(update={"path": tuple(str((base / path).absolute()) for path in table.path)})
