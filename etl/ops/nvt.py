"""The one door to the `nvtabular` package, which lives in an environment of its own."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from core.errors import MissingExtra

CURE = (
    "`make test-nvtabular` makes its environment: run `.venv-nvtabular/bin/gyrfalcon etl CONFIG --engine nvtabular`,"
    " then go on here"
)


def nvtabular_ops() -> Any:
    """The module `nvtabular.ops`.

    Raises:
        MissingExtra: The package is not installed.
    """
    return nvtabular_module("nvtabular.ops")


def nvtabular_module(name: str) -> Any:
    """A module of the package.

    Raises:
        MissingExtra: The package is not installed.
    """
    try:
        with warnings.catch_warnings():
            # It tells of each of its optional partners (torch, a Triton client, CUDA) that isn't there.
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra(
            f"the package nvtabular can't be imported ({error})", where="engine nvtabular", cure=CURE
        ) from None
