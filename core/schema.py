"""The schema of a data set: columns with data types, tags and the sizes that a model needs.

The tags are Merlin's, so that a schema can travel both ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import read_json, write_json

VERSION = 1
OTHER_ROWS = "other_rows"
"""Property of a feature that depends on further rows too, so that a user or item alone does not have it."""


class Tag(StrEnum):
    """What a column means, in Merlin's words."""

    USER = "user"
    ITEM = "item"
    CONTEXT = "context"
    USER_ID = "user_id"
    ITEM_ID = "item_id"
    SESSION_ID = "session_id"
    CATEGORICAL = "categorical"
    CONTINUOUS = "continuous"
    SEQUENCE = "sequence"
    TIME = "time"
    TARGET = "target"
    BINARY = "binary"
    REGRESSION = "regression"
    TEXT = "text"
    ID = "id"
    LIST = "list"


class DType(StrEnum):
    """Data types that a column can have on disk."""

    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BOOL = "bool"
    STRING = "string"
    DATETIME = "datetime"
    DATE = "date"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Its name in the files.
        dtype: The type of its values (of its elements, when it is a list).
        tags: What it means.
        is_list: Each row holds a list of values.
        nullable: Values may be missing.
        cardinality: Number of ids (0 .. cardinality-1) of a categorical column, reserved ids included.
        embedding_dim: Suggested embedding width of a categorical column.
        properties: Anything else, as plain JSON values.
    """

    name: str
    dtype: DType
    tags: frozenset[Tag] = frozenset()
    is_list: bool = False
    nullable: bool = True
    cardinality: int | None = None
    embedding_dim: int | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    def with_tags(self, *tags: Tag) -> Column:
        """The same column with more tags."""
        return replace(self, tags=self.tags | frozenset(tags))

    def with_dtype(self, dtype: DType) -> Column:
        """The same column with values of another type."""
        return replace(self, dtype=dtype)

    def renamed(self, name: str) -> Column:
        """The same column under another name."""
        return replace(self, name=name)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, in one canonical form."""
        return {
            "name": self.name,
            "dtype": self.dtype.value,
            "tags": sorted(tag.value for tag in self.tags),
            "is_list": self.is_list,
            "nullable": self.nullable,
            "cardinality": self.cardinality,
            "embedding_dim": self.embedding_dim,
            "properties": dict(self.properties),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Column:
        """Read what `to_json` wrote."""
        known = {**value, "dtype": DType(value["dtype"]), "tags": frozenset(Tag(tag) for tag in value["tags"])}
        return cls(**known)


@dataclass(frozen=True)
class Schema:
    """An ordered set of columns with distinct names.

    Example:
        >>> age = Column("age", DType.FLOAT32, frozenset({Tag.CONTINUOUS, Tag.USER}))
        >>> schema = Schema((age,))
        >>> schema.select(Tag.CONTINUOUS).names
        ('age',)
    """

    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(f"a schema holds each name once, but {', '.join(twice)} occurs twice")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __contains__(self, name: str) -> bool:
        return any(column.name == name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def select(self, *tags: Tag) -> Schema:
        """The columns that carry every one of the tags."""
        return Schema(tuple(column for column in self.columns if column.tags.issuperset(tags)))

    def without(self, *tags: Tag) -> Schema:
        """The columns that carry none of the tags."""
        return Schema(tuple(column for column in self.columns if column.tags.isdisjoint(tags)))

    def keep(self, names: Iterable[str]) -> Schema:
        """The named columns, in the order of the names."""
        return Schema(tuple(self[name] for name in names))

    def first(self, tag: Tag) -> Column | None:
        """The first column with a tag, or None."""
        return next((column for column in self.columns if tag in column.tags), None)

    def write(self, path: Path) -> None:
        """Write `schema.json`."""
        write_json(path, {"version": VERSION, "columns": [column.to_json() for column in self.columns]})

    @classmethod
    def read(cls, path: Path) -> Schema:
        """Read `schema.json`.

        Raises:
            UserError: The file is missing, broken, or of a newer version.
        """
        value = read_json(path)
        try:
            version = int(value["version"])
            if version > VERSION:
                raise UserError(
                    f"the schema has version {version}, this program reads up to {VERSION}",
                    where=str(path),
                    cure="update gyrfalcon",
                )
            return cls(tuple(Column.from_json(column) for column in value["columns"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"this is not a schema ({error!r})", where=str(path)) from None
