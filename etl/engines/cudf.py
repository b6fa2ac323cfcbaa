"""cudf-polars: the same plans on one NVIDIA GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from core.dataset import ROW, SPLIT, SPLITS
from core.errors import MissingExtra
from etl.engines.base import COMPRESSION, ROW_GROUP, Engine, Sunk, count_parts, number_parts
from etl.engines.devices import device_count
from etl.engines.failures import translated

INSTALL = "install the GPU extra (`pip install 'gyrfalcon[gpu]' -c requirements/gpu.txt`) or set `etl.engine: cpu`"
CURE = "run this plan with `etl.engine: cpu`"

Executor = Literal["streaming", "in-memory"]
BYTES_A_VALUE = 16
"""An estimate: a value as it is read, and once more as it is written."""
SHARE = 0.5
"""Of the free device memory, for the data; plans need as much again for what lies between."""


def free_memory() -> int:
    """Bytes that are free on the device."""
    from rmm.mr import available_device_memory

    return int(available_device_memory()[0])


def require_gpu(engine: str, *packages: str) -> None:
    """Check that an engine has its device and its packages.

    Raises:
        MissingExtra: One of them is missing; names it and the cure.
    """
    if device_count() == 0:
        raise MissingExtra(
            "no CUDA device is visible", where=f"engine {engine}", cure="set `etl.engine: cpu` on this machine"
        )
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"the package {missing[0]} is missing", where=f"engine {engine}", cure=INSTALL)


class CudfEngine(Engine):
    """Runs plans on one GPU, whole or not at all (`raise_on_fail`); the order of rows is restored by ROW."""

    name = "cudf"
    ordered = False
    staged = True

    def __init__(self) -> None:
        require_gpu(self.name, "cudf_polars")
        self._executor: Executor = "streaming"

    def expect(self, rows: int, columns: int) -> None:
        """Run plans in memory when all their data fit there; they stream, partition by partition, when not.

        The streaming executor takes about half a second to start, and a fit has a plan for each vocabulary:
        28 plans over 4 million rows took 14 s streaming and 1.7 s in memory on an H100.
        """
        needed = rows * columns * BYTES_A_VALUE
        self._executor = "in-memory" if needed <= SHARE * free_memory() else "streaming"

    def polars_engine(self) -> Any:
        """What `collect` and `sink_parquet` of Polars take as `engine`."""
        return pl.GPUEngine(executor=self._executor, raise_on_fail=True)

    def collect(self, frames: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        """See `Engine.collect`. The GPU engine takes one plan at a time."""
        with translated(self.name, cure=CURE):
            return [self.collect_one(frame) for frame in frames]

    def collect_one(self, frame: pl.LazyFrame) -> pl.DataFrame:
        """Compute one frame."""
        return frame.collect(engine=self.polars_engine())

    def sink(self, frame: pl.LazyFrame, directory: Path, *, row_group_size: int = ROW_GROUP) -> Sunk:
        """See `Engine.sink`. The GPU engine can't write several directories in one pass: one pass a split."""
        for index, split in enumerate(SPLITS):
            place = directory / split
            place.mkdir(parents=True, exist_ok=True)
            chosen = frame.filter(pl.col(SPLIT) == index).sort(ROW).drop(SPLIT, ROW)
            with translated(self.name, cure=CURE):
                self.sink_one(chosen, place, row_group_size)
            number_parts(place)
        return count_parts(directory)

    def sink_one(self, frame: pl.LazyFrame, place: Path, row_group_size: int) -> None:
        """Write a sorted frame into an empty directory; on one GPU the streaming sink writes one file."""
        path = place / "rows.parquet"
        frame.sink_parquet(path, compression=COMPRESSION, row_group_size=row_group_size, engine=self.polars_engine())
