"""Raw rows in, a data set on disk out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from etl.sources import Sources
from etl.spec import EtlSpec


def prepare(sources: Sources, spec: EtlSpec, out: Path, *, seed: int) -> dict[str, Any]:
    """Write the data set that `core.dataset` describes into `out`, which exists and is empty.

    Returns:
        Figures: `engine`, `rows` by split, and `phases`: each with `seconds` and `rows_per_second`.

    Raises:
        UserError: The data or the settings are at fault.
    """
    raise NotImplementedError
