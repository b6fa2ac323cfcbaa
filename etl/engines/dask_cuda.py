"""cudf-polars over Dask: the same plans on every GPU of a machine, or of a cluster."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from core import log
from core.errors import UserError
from etl.engines.base import COMPRESSION
from etl.engines.cudf import CudfEngine, require_gpu
from etl.engines.spec import DaskCudaEngineSpec
from etl.engines.watch import Watch

T = TypeVar("T")
_ANSWER = "30s"
_START = 120
"""Seconds to wait for the workers of a cluster."""


class DaskCudaEngine(CudfEngine):
    """Runs plans on `DaskEngine` over a `LocalCUDACluster` (one worker a GPU) or a scheduler that already runs.

    Files must lie where every worker can read and write them. A plan that loses a worker is run again on a
    cluster that is started anew (`retries`); after that it is an error that names the worker.
    """

    name = "dask-cuda"

    def __init__(self, spec: DaskCudaEngineSpec) -> None:
        require_gpu(self.name, "cudf_polars", "dask_cuda", "distributed")
        self._spec = spec
        self._held = ExitStack()
        self._open()

    def expect(self, rows: int, columns: int) -> None:
        """Nothing to choose: the cluster streams, and its engine is started once."""

    def polars_engine(self) -> Any:
        """See `CudfEngine.polars_engine`."""
        return self._engine

    def collect_one(self, frame: pl.LazyFrame) -> pl.DataFrame:
        """See `CudfEngine.collect_one`."""
        return self._watched(lambda: frame.collect(engine=self._engine))

    def sink_one(self, frame: pl.LazyFrame, place: Path, row_group_size: int) -> None:
        """Each worker writes its own files into the directory; they sort by rank and number."""

        def sink() -> None:
            shutil.rmtree(place, ignore_errors=True)
            frame.sink_parquet(place, compression=COMPRESSION, row_group_size=row_group_size, engine=self._engine)

        self._watched(sink)

    def close(self) -> None:
        """Shut down the engine, then the client and the cluster that it owns."""
        self._held.close()

    def _watched(self, work: Callable[[], T]) -> T:
        """Do something on the cluster; once more, on a new one, when a worker was lost."""
        for left in range(self._spec.retries, -1, -1):
            watch = Watch(self._client)
            try:
                with watch:
                    return work()
            except Exception as error:
                if not watch.lost:
                    raise
                self._give_up()
                if not left:
                    raise lost(watch.lost) from error
                log.get("etl").warning("%s", lost(watch.lost).what + "; the plan is run again on a new cluster")
                self._open()
        raise AssertionError("the last attempt returns or raises")

    def _give_up(self) -> None:
        """Close what is left of a cluster that lost a worker: parts of it no longer answer."""
        with suppress(Exception):
            self._held.close()
        self._held = ExitStack()

    def _open(self) -> None:
        try:
            self._client = self._connect()
            self._engine = self._held.enter_context(start_engine(self._client, self._spec))
        except BaseException:
            self.close()
            raise

    def _connect(self) -> Any:
        from distributed import Client

        spec = self._spec
        try:
            cluster = None if spec.scheduler else self._held.enter_context(local_cluster(spec))
            client = self._held.enter_context(Client(cluster or spec.scheduler, timeout=_ANSWER))
            client.wait_for_workers(1 if cluster is None else len(cluster.worker_spec), timeout=_START)
        except (OSError, TimeoutError) as error:
            if spec.scheduler is None:
                raise UserError(
                    f"the workers don't start ({error})", where=f"engine {self.name}", cure="look at the log above"
                ) from error
            raise UserError(
                f"no scheduler with workers answers at {spec.scheduler}",
                where="etl.engine.scheduler",
                cure="start it and a worker, or mend the address",
            ) from error
        return client


def local_cluster(spec: DaskCudaEngineSpec) -> Any:
    """A `LocalCUDACluster` with these settings. Memory pools are not its business: each plan's engine has its own."""
    from dask_cuda import LocalCUDACluster

    devices = None if spec.devices is None else list(spec.devices)
    return LocalCUDACluster(
        CUDA_VISIBLE_DEVICES=devices,
        n_workers=spec.workers,
        protocol=spec.protocol,
        local_directory=spec.local_directory,
    )


def start_engine(client: Any, spec: DaskCudaEngineSpec) -> Any:
    """cudf-polars' `DaskEngine` on the workers of a client, with the memory settings of the config."""
    from cudf_polars.engine.dask import DaskEngine
    from cudf_polars.engine.hardware_binding import HardwareBindingPolicy
    from cudf_polars.utils.config import MemoryResourceConfig
    from rapidsmpf.config import Options, get_environment_variables

    # Workers of dask-cuda are bound to their GPUs already.
    options: dict[str, Any] = {"raise_on_fail": True, "hardware_binding": HardwareBindingPolicy(enabled=False)}
    if spec.rmm_pool is not None:
        options["memory_resource_config"] = MemoryResourceConfig(**pool_of(spec.rmm_pool))
    limits = spill_of(spec.spill)
    runtime = Options({**get_environment_variables(), **limits}) if limits else None
    return DaskEngine(dask_client=client, rapidsmpf_options=runtime, engine_options=options)


def pool_of(size: int) -> dict[str, Any]:
    """RMM's pool of CUDA memory with this size at its start.

    Example:
        >>> pool_of(1024)["options"]
        {'initial_pool_size': 1024, 'release_threshold': 1024}
    """
    sizes = {"initial_pool_size": size, "release_threshold": size}
    return {"qualname": "rmm.mr.CudaAsyncMemoryResource", "options": sizes}


def spill_of(limit: float | None) -> dict[str, str]:
    """RapidsMPF's option for the device memory above which rows go to the host.

    Example:
        >>> spill_of(0.6), spill_of(1 << 30), spill_of(None)
        ({'spill_device_limit': '60%'}, {'spill_device_limit': '1073741824'}, {})
    """
    if limit is None:
        return {}
    return {"spill_device_limit": f"{limit * 100:g}%" if limit <= 1 else str(limit)}


def lost(workers: tuple[str, ...]) -> UserError:
    """What a person reads when workers went away."""
    which = f"worker {workers[0]} was" if len(workers) == 1 else f"{len(workers)} workers ({workers[0]}, …) were"
    return UserError(
        f"{which} lost",
        where="engine dask-cuda",
        cure="it may have run out of memory: lower `etl.engine.spill`, or use more GPUs; then run again, "
        "finished stages are kept",
    )
