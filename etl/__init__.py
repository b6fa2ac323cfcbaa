"""Columnar feature engineering: operators, workflows, engines, sources, splits and the data set on disk."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etl.fitted import Fitted
    from etl.graph import select
    from etl.values.embedding_sizes import get_embedding_sizes
    from etl.workflow import Workflow

__all__ = ["Fitted", "Workflow", "get_embedding_sizes", "select"]

_HOMES = {
    "Fitted": "etl.fitted",
    "get_embedding_sizes": "etl.values.embedding_sizes",
    "Workflow": "etl.workflow",
    "select": "etl.graph",
}
"""Public name -> the module that has it."""


def __getattr__(name: str) -> Any:
    """`from etl import Workflow` loads Polars only when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'etl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
