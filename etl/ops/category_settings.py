"""Settings of categorify that have no meaning here, and the types of its ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from core.spec import fault_at

_MEANINGLESS = {
    "out_path": "vocabularies are part of the fitted workflow",
    "cat_cache": "vocabularies are held in memory once",
    "on_host": "the engine decides where a plan runs",
    "split_out": "one vocabulary is one table",
    "split_every": "one grouping counts all values",
    "tree_width": "one grouping counts all values",
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


def refuse_meaningless(settings: Mapping[str, Any]) -> None:
    """Refuse settings of NVTabular that have no meaning here, with the reason."""
    for name, why in _MEANINGLESS.items():
        if name in settings:
            raise fault_at((name,), f"there is no such setting here: {why}; leave it out")


IntegerType = Annotated[
    Literal["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"], BeforeValidator(_integer_type)
]
