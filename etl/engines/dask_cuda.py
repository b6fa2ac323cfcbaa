"""cudf-polars over Dask: the same plans on every GPU of a machine, or of a cluster."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import UserError
from etl.engines.base import COMPRESSION
from etl.engines.cudf import CudfEngine, require_gpu


class DaskCudaEngine(CudfEngine):
    """Runs plans on `DaskEngine` over a `LocalCUDACluster` (one worker a GPU) or a scheduler that already runs.

    Files must lie where every worker can read and write them.

    Args:
        scheduler: Address of a running scheduler (`tcp://host:8786`); its workers own their GPUs.
        workers: Number of local GPUs to use; all of them by default. Ignored with a scheduler.
    """

    name = "dask-cuda"

    def __init__(self, *, scheduler: str | None = None, workers: int | None = None) -> None:
        require_gpu(self.name, "cudf_polars", "dask_cuda", "distributed")
        self._held = ExitStack()
        try:
            self._engine = self._start(scheduler, workers)
        except BaseException:
            self.close()
            raise

    def _start(self, scheduler: str | None, workers: int | None) -> Any:
        from cudf_polars.engine.dask import DaskEngine
        from cudf_polars.engine.hardware_binding import HardwareBindingPolicy
        from distributed import Client

        address: Any = scheduler
        if address is None:
            from dask_cuda import LocalCUDACluster

            address = self._held.enter_context(LocalCUDACluster(n_workers=workers))
        try:
            client = self._held.enter_context(Client(address, timeout="30s"))
        except OSError as error:
            raise UserError(
                f"no scheduler answers at {address}", where="etl.engine.scheduler", cure="start it or mend the address"
            ) from error
        options = {"raise_on_fail": True, "hardware_binding": HardwareBindingPolicy(enabled=False)}
        return self._held.enter_context(DaskEngine(dask_client=client, engine_options=options))

    def expect(self, rows: int, columns: int) -> None:
        """Nothing to choose: the cluster streams, and its engine is started once."""

    def polars_engine(self) -> Any:
        """See `CudfEngine.polars_engine`."""
        return self._engine

    def sink_one(self, frame: pl.LazyFrame, place: Path, row_group_size: int) -> None:
        """Each worker writes its own files into the directory; they sort by rank and number."""
        shutil.rmtree(place)
        frame.sink_parquet(place, compression=COMPRESSION, row_group_size=row_group_size, engine=self._engine)

    def close(self) -> None:
        """Shut down the engine, then the client and the cluster that it owns."""
        self._held.close()
