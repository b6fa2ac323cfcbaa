"""Settings of the engines: `engine: auto`, or `engine: {kind: dask-cuda, workers: 4}`."""

from __future__ import annotations

from pydantic import Field

from core.spec import Spec


class EngineSpec(Spec):
    """Settings of an engine; the class says which."""


class AutoEngine(EngineSpec):
    """`cudf` where a CUDA device and cudf-polars are there, else `cpu`."""


class CpuEngineSpec(EngineSpec):
    """Polars on every core."""


class CudfEngineSpec(EngineSpec):
    """cudf-polars on one GPU."""


class DaskCudaEngineSpec(EngineSpec):
    """cudf-polars on many GPUs.

    Attributes:
        scheduler: Address of a running Dask scheduler; by default a `LocalCUDACluster` is started.
        workers: Number of local GPUs; all of them by default.
    """

    scheduler: str | None = None
    workers: int | None = Field(default=None, ge=1)


class NvtabularEngineSpec(EngineSpec):
    """A real `nvtabular.Workflow`, in the environment of `requirements/nvtabular.txt`."""


ENGINE_SPECS: dict[str, type[EngineSpec]] = {
    "auto": AutoEngine,
    "cpu": CpuEngineSpec,
    "cudf": CudfEngineSpec,
    "dask-cuda": DaskCudaEngineSpec,
    "nvtabular": NvtabularEngineSpec,
}
