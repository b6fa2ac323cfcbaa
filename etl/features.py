"""Settings of one feature: columns and the operators they pass through."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from core.spec import Spec, listed
from core.union import ByName
from etl.ops import OPERATORS, Operator


class FeatureSpec(Spec):
    """Columns, and the operators that all of them pass through, in order; a list inside the list is a group."""

    columns: Annotated[tuple[str | tuple[str, ...], ...], BeforeValidator(listed)] = Field(min_length=1)
    ops: tuple[Annotated[Operator[Any], ByName(OPERATORS)], ...] = Field(min_length=1)
