"""NVTabular as an engine: the place where a compiled workflow will run; until then it refuses, with the cure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import polars as pl

from core.errors import UserError
from etl.engines.base import ROW_GROUP, Engine, Sunk


class NvtabularEngine(Engine):
    """Refuses: a compiled `nvtabular.Workflow` isn't written into a data set yet.

    NVTabular can't run Polars plans, and running them elsewhere in silence would be a lie.
    """

    name = "nvtabular"

    def __init__(self) -> None:
        self._refuse()

    def collect(self, frames: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        """Refuse: NVTabular doesn't run Polars plans."""
        self._refuse()

    def sink(self, frame: pl.LazyFrame, directory: Path, *, row_group_size: int = ROW_GROUP) -> Sunk:
        """Refuse: NVTabular doesn't run Polars plans."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UserError(
            "preparing a data set through NVTabular isn't there yet",
            where="engine nvtabular",
            cure="set `etl.engine: cpu`, which gives the same ids",
        )
