"""Amounts of memory as people write them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

from core.spec import custom_error

_UNITS = {unit: 1000**power for power, unit in enumerate(["B", "KB", "MB", "GB", "TB"])}
_UNITS |= {unit: 1024**power for power, unit in enumerate(["KiB", "MiB", "GiB", "TiB"], start=1)}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


def parse_size(value: object) -> object:
    """Bytes for a text like `8GiB`; anything but a text is given back for the type to judge.

    Example:
        >>> parse_size("8GiB"), parse_size("1.5 GB"), parse_size(100)
        (8589934592, 1500000000, 100)
    """
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value)
    if found is None or found.group(2) not in _UNITS:
        raise custom_error("size", f"a size is a number of bytes or a text like 8GiB or 500MB, got {value!r}")
    return int(float(found.group(1)) * _UNITS[found.group(2)])


Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes; `8GiB` is understood too."""
