"""NVTabular as an engine: where its package is missing, the cure; its compiler comes with the operators' faces."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import polars as pl

from core.errors import MissingExtra, UserError
from etl.engines.base import ROW_GROUP, Engine, Sunk

_CURE = (
    "NVTabular 23.8 lives in an environment of its own (`uv pip install -r requirements/nvtabular.txt`, "
    "Python 3.10 or 3.11); elsewhere set `etl.engine: cpu`, which gives the same ids"
)


class NvtabularEngine(Engine):
    """Compares, it doesn't prepare: a compiled `nvtabular.Workflow` isn't written into a data set yet.

    It can't run Polars plans, so both verbs refuse instead of quietly running them elsewhere.
    """

    name = "nvtabular"

    def __init__(self) -> None:
        if importlib.util.find_spec("nvtabular") is None:
            raise MissingExtra("the package nvtabular is missing", where="engine nvtabular", cure=_CURE)
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
            cure="set `etl.engine: cpu`",
        )
