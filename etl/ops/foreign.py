"""Settings of NVTabular's operators that have no meaning here: refused by name, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from core.spec import custom_error, fault_at

_FILES = "statistics are kept in the saved workflow, not in files of their own"
_ENGINE = "the engine decides where statistics are computed"

STATISTICS: Mapping[str, str] = {
    "out_path": _FILES,
    "split_out": _FILES,
    "cat_cache": _FILES,
    "on_host": _ENGINE,
    "split_every": _ENGINE,
    "tree_width": _ENGINE,
}
"""Of operators that count or learn from groups: setting -> why it is refused."""
DEVICE: Mapping[str, str] = {"on_device": "the engine decides where it is computed"}


def refuse(settings: Any, reasons: Mapping[str, str]) -> Any:
    """Give settings back, for a validator; one that has no meaning here is an error with the reason.

    Example:
        >>> refuse({"kfold": 3}, STATISTICS)
        {'kfold': 3}
    """
    for name, reason in reasons.items():
        if isinstance(settings, Mapping) and name in settings:
            raise fault_at((name,), f"{name} has no meaning here: {reason}; leave it out", settings[name])
    return settings


def _float32(value: Any) -> Any:
    name = (getattr(value, "__name__", None) or str(value)).lower()
    if value is not None and name != "float32":
        told = "numbers leave a workflow as float32, computed in float64"
        raise custom_error("float32", f"must be float32 ({told}), got {name}")
    return value if value is None else name


Float32 = Annotated[str | None, BeforeValidator(_float32)]
"""An `out_dtype` or `float_dtype`: what NVTabular lets choose is always float32 here."""
