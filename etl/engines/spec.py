"""Settings of the engines: `engine: auto`, or `engine: {kind: dask-cuda, workers: 4}`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.spec import Spec, custom_error
from etl.engines.sizes import Size


class EngineSpec(Spec):
    """Settings of an engine; the class says which."""


class AutoEngine(EngineSpec):
    """`cudf` where a CUDA device and cudf-polars are there, else `cpu`."""


class CpuEngineSpec(EngineSpec):
    """Polars on every core."""


class CudfEngineSpec(EngineSpec):
    """cudf-polars on one GPU."""


class DaskCudaEngineSpec(EngineSpec):
    """cudf-polars on many GPUs: of a `LocalCUDACluster` that is started, or of a Dask scheduler that runs already.

    Attributes:
        scheduler: Address of a running scheduler (`tcp://host:8786`); its workers own their GPUs.
        workers: Number of local GPUs, one worker each; all that are visible by default.
        devices: Which local GPUs, by number; the first ones by default.
        protocol: How Dask's workers talk: `tcp`, or `ucx` (NVLink, InfiniBand). Dask chooses by default. Rows
            that plans exchange always travel by UCX, which finds the fastest way itself.
        local_directory: Where workers put temporary files; the current directory by default.
        rmm_pool: Device memory that each worker takes at its start (`8GiB`) and keeps; it grows as needed.
        spill: Share of a device's memory above which rows are moved to the host, 0.8 by default; or a size.
        retries: How often a plan is run again after a worker was lost.
    """

    scheduler: str | None = None
    workers: int | None = Field(default=None, ge=1)
    devices: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(default=None, min_length=1)
    protocol: Literal["tcp", "ucx"] | None = None
    local_directory: str | None = None
    rmm_pool: Annotated[Size, Field(gt=0)] | None = None
    spill: Annotated[float, Field(gt=0, le=1)] | Annotated[Size, Field(gt=1)] | None = None
    retries: int = Field(default=1, ge=0, le=10)

    @model_validator(mode="after")
    def _check(self) -> Self:
        own = [
            name for name in ("workers", "devices", "protocol", "local_directory") if getattr(self, name) is not None
        ]
        if self.scheduler is not None and own:
            told = f"{own[0]} is set where the workers of {self.scheduler} are started; leave it out here"
            raise custom_error("scheduler", told)
        if self.workers is not None and self.devices is not None and self.workers > len(self.devices):
            told = f"workers is {self.workers}, but devices names {len(self.devices)}; each worker has a GPU of its own"
            raise custom_error("workers", told)
        return self


class NvtabularEngineSpec(EngineSpec):
    """A real `nvtabular.Workflow`, in the environment of `requirements/nvtabular.txt`."""


ENGINE_SPECS: dict[str, type[EngineSpec]] = {
    "auto": AutoEngine,
    "cpu": CpuEngineSpec,
    "cudf": CudfEngineSpec,
    "dask-cuda": DaskCudaEngineSpec,
    "nvtabular": NvtabularEngineSpec,
}
