"""The settings of categorify, and what they say for each vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from core.schema import Column
from core.spec import custom_error
from etl.ops.amounts import MOST_IDS, Buckets, Limit, amount, require_known
from etl.ops.base import Operator
from etl.ops.category_given import GivenValues, normal_vocabs, vocabulary_files
from etl.ops.category_ids import OOV
from etl.ops.category_tables import Table, tables_of
from etl.ops.foreign import STATISTICS, refuse
from etl.ops.vocabularies import Vocabularies

_MEANINGLESS = {
    **STATISTICS,
    "cardinality_memory_limit": "the engine bounds its own memory",
    "search_sorted": "values are looked up by their hash",
    "start_index": "id 0 is always padding",
    "na_sentinel": "null always has id 1",
}
"""Settings of NVTabular's operator that say how it works, not what comes out; and why there is nothing to set."""


def _integer_type(value: Any) -> Any:
    """The name of an integer type; takes numpy's types too."""
    name = getattr(value, "__name__", None) or getattr(value, "name", None)
    return name if isinstance(name, str) else value


IntegerType = Annotated[
    Literal["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"], BeforeValidator(_integer_type)
]


class CategorifySettings(Operator[Vocabularies]):
    """See `etl.ops.categorify.Categorify`."""

    freq_threshold: Limit = 0
    max_size: Limit = 0
    num_buckets: Annotated[Buckets, BeforeValidator(lambda value: 1 if value is None else value)] = 1
    encode_type: Literal["joint", "combo"] = "joint"
    name_sep: str = Field(default="_", min_length=1)
    vocabs: str | dict[str, str | GivenValues] | None = None
    single_table: bool = False
    dtype: IntegerType | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    _base: Path = PrivateAttr(default=Path())

    @model_validator(mode="before")
    @classmethod
    def _known_settings(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        refuse(value, _MEANINGLESS)
        return {**value, "vocabs": normal_vocabs(value.get("vocabs"), value.get("name_sep", "_"))}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.max_size if isinstance(self.max_size, dict) else [""]:
            most = amount(self.max_size, [name], "max_size", 0)
            first = OOV + amount(self.num_buckets, [name], "num_buckets", 1)
            if most and most <= first:
                told = f"max_size must be above {first}, the number of reserved ids, got {most}"
                raise custom_error("max_size", told)
        return self

    def placed(self, base: Path) -> Self:
        """The same, with relative paths in `vocabs` that start from this directory."""
        made = self.model_copy()
        made._base = base  # noqa: SLF001  its own copy
        return made

    @property
    def named_files(self) -> tuple[Path, ...]:
        """The files that `vocabs` names, by absolute path."""
        return vocabulary_files(self.vocabs, self._base)

    def grouped(self, groups: tuple[tuple[str, ...], ...]) -> Self:
        """See `Operator`."""
        return self.model_copy(update={"groups": groups})

    def tables(self, columns: Sequence[Column]) -> tuple[Table, ...]:
        """The vocabularies of some columns; a combination only if all its parts are among them."""
        return tuple(table for table in self._tables(columns) if table.possible)

    def _tables(self, columns: Sequence[Column]) -> tuple[Table, ...]:
        return tables_of(columns, self.groups, combined=self.encode_type == "combo", sep=self.name_sep)

    def buckets(self, table: Table) -> int:
        """Number of ids of a vocabulary for what it doesn't hold."""
        return amount(self.num_buckets, table.names, "num_buckets", 1)

    def first(self, table: Table) -> int:
        """Own id of its most frequent value."""
        return OOV + self.buckets(table)

    def _most(self, names: Sequence[str]) -> int:
        """Largest number of values of a vocabulary that have ids."""
        most = amount(self.max_size, names, "max_size", 0) or MOST_IDS
        return most - OOV - amount(self.num_buckets, names, "num_buckets", 1)

    def _limits(self, table: Table) -> dict[str, int]:
        threshold = amount(self.freq_threshold, table.names, "freq_threshold", 0)
        return {"threshold": threshold, "most": self._most(table.names)}

    def _is_given(self, table: Table) -> bool:
        return isinstance(self.vocabs, str) or (self.vocabs is not None and table.name in self.vocabs)

    def _called(self, name: str) -> tuple[str, ...]:
        """How settings by column may call a vocabulary: by its own name, or by one of its columns."""
        members = {self.name_sep.join(group): group for group in self.groups}
        return (name, *members.get(name, ()))

    def _firsts(self, names: Iterable[str]) -> dict[str, int]:
        """Own id of the first value of each vocabulary."""
        return {name: OOV + amount(self.num_buckets, self._called(name), "num_buckets", 1) for name in names}

    def _require_known(self, tables: Sequence[Table]) -> None:
        names = [name for table in tables for name in table.names]
        for setting in ("freq_threshold", "max_size", "num_buckets", "vocabs"):
            require_known(getattr(self, setting), names, f"{self.kind}'s {setting}")
        for table in tables:
            # Raises where the columns of one vocabulary are given different numbers.
            self._limits(table)
