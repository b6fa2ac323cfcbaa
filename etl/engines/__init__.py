"""Engines behind one door: `make` is the only place that chooses where plans run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from etl.engines.base import COMPRESSION, ROW_GROUP, Engine, Sunk
from etl.engines.cpu import CpuEngine
from etl.engines.devices import device_count
from etl.engines.spec import (
    ENGINE_SPECS,
    AutoEngine,
    CpuEngineSpec,
    CudfEngineSpec,
    DaskCudaEngineSpec,
    EngineSpec,
    NvtabularEngineSpec,
)

__all__ = ["COMPRESSION", "ENGINES", "ENGINE_SPECS", "ROW_GROUP", "CpuEngine", "Engine", "EngineSpec", "Sunk", "make"]


def _auto(_: Any) -> Engine:
    """One GPU where there is a device and the GPU engine is installed; else the CPU."""
    ready = device_count() > 0 and importlib.util.find_spec("cudf_polars") is not None
    return _cudf(None) if ready else CpuEngine()


def _cpu(_: Any) -> Engine:
    return CpuEngine()


def _cudf(_: Any) -> Engine:
    from etl.engines.cudf import CudfEngine

    return CudfEngine()


def _dask_cuda(spec: Any) -> Engine:
    from etl.engines.dask_cuda import DaskCudaEngine

    return DaskCudaEngine(spec)


def _nvtabular(_: Any) -> Engine:
    from etl.engines.nvtabular import NvtabularEngine

    return NvtabularEngine()


ENGINES: dict[type[EngineSpec], Callable[[Any], Engine]] = {
    AutoEngine: _auto,
    CpuEngineSpec: _cpu,
    CudfEngineSpec: _cudf,
    DaskCudaEngineSpec: _dask_cuda,
    NvtabularEngineSpec: _nvtabular,
}


def make(spec: EngineSpec | None = None) -> Engine:
    """Start an engine; use it as a context manager, so that what it holds is given back.

    Args:
        spec: Which one; `auto` when None.

    Raises:
        MissingExtra: The engine's package or device is missing; the message has the cure.

    Example:
        >>> with make(CpuEngineSpec()) as engine:
        ...     engine.name
        'cpu'
    """
    chosen = spec or AutoEngine()
    return ENGINES[type(chosen)](chosen)
