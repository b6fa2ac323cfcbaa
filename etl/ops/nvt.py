"""The one door to the `nvtabular` package, which lives in an environment of its own."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from core.errors import MissingExtra

CURE = "`make test-nvtabular` makes its environment in .venv-nvtabular; see docs/nvtabular.md"
_describing: ContextVar[bool] = ContextVar("describing", default=False)


@dataclass(frozen=True)
class Described:
    """An operator of NVTabular before it is made: the name of its class and what its constructor takes."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class _Describer:
    """Stands in for the module: its classes only write down how they were called."""

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Described:
            return Described(name, args, kwargs)

        return call


def nvtabular_ops() -> Any:
    """The module `nvtabular.ops`; inside `describing`, what stands in for it.

    Raises:
        MissingExtra: The package is not installed.
    """
    return _Describer() if _describing.get() else nvtabular_module("nvtabular.ops")


@contextmanager
def describing() -> Iterator[None]:
    """Let operators describe their counterpart instead of making it, so that another interpreter can make it.

    Example:
        >>> with describing():
        ...     nvtabular_ops().Clip(min_value=0)
        Described(name='Clip', args=(), kwargs={'min_value': 0})
    """
    token = _describing.set(True)
    try:
        yield
    finally:
        _describing.reset(token)


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
