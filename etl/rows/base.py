"""What a rule for rows is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from core.errors import UserError
from core.schema import DType
from core.spec import Spec, listed
from etl.dataset.sources import Roles
from etl.formula.parse import parse
from etl.formula.polars import evaluate
from etl.formula.tree import names
from etl.formula.types import require_types
from etl.types import canonical, columns_of

Names = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(listed)]


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
    short: ClassVar[Mapping[str, Any] | None] = None
    """JSON Schema of the form without keys, where there is one."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell editors of the short form too."""
        whole = handler(schema)
        return whole if cls.short is None else {"anyOf": [dict(cls.short), whole]}

    @property
    def makes(self) -> tuple[str, ...]:
        """Columns that it adds."""
        return ()

    @abstractmethod
    def reads(self, given: Given) -> tuple[str, ...]:
        """Columns that it looks at."""

    @abstractmethod
    def apply(self, frame: pl.LazyFrame, given: Given) -> pl.LazyFrame:
        """The rows that stay, in order; ROW stays the number that a row has in the source."""


def evaluated(frame: pl.LazyFrame, formula: str, name: str) -> pl.LazyFrame:
    """Add the value of a formula over raw columns."""
    tree = parse(formula)
    known = columns_of(frame.select(names(tree)).collect_schema())
    require_types(tree, known, formula)
    values = {}
    for column in known.values():
        value = canonical(column.name, column.dtype)
        values[column.name] = value if column.dtype == DType.STRING else value.cast(pl.Float64)
    return evaluate(frame, tree, values, name)
