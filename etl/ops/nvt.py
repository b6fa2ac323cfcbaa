"""The one door to the `nvtabular` package, which lives in an environment of its own."""

from __future__ import annotations

import importlib
from typing import Any

from core.errors import MissingExtra


def nvtabular_ops() -> Any:
    """The module `nvtabular.ops`.

    Raises:
        MissingExtra: The package is not installed.
    """
    try:
        return importlib.import_module("nvtabular.ops")
    except ImportError as error:
        raise MissingExtra(
            f"the package nvtabular can't be imported ({error})",
            where="engine nvtabular",
            cure="use the environment of requirements/nvtabular.txt",
        ) from None
