"""Columnar feature engineering: operators, workflows, engines, sources, splits and the data set on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etl.fitted import Fitted
    from etl.workflow import Workflow

__all__ = ["Fitted", "Workflow"]


def __getattr__(name: str) -> Any:
    """`from etl import Workflow` loads Polars only when it is asked for."""
    if name == "Workflow":
        from etl.workflow import Workflow

        return Workflow
    if name == "Fitted":
        from etl.fitted import Fitted

        return Fitted
    raise AttributeError(f"module 'etl' has no attribute {name!r}")
