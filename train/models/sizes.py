"""Types of the settings that many models share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Width = Annotated[int, Field(gt=0)]
Hidden = tuple[Annotated[int, Field(gt=0)], ...]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]
