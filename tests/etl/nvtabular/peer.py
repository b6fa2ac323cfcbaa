"""The real NVTabular on small frames, through Parquet as it reads it."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl.ops.nvt import nvtabular_module

installed = pytest.mark.skipif(
    importlib.util.find_spec("nvtabular") is None, reason="the package nvtabular is not installed"
)
"""Of tests that run the real package; they have the mark `nvtabular` too."""


class Peer:
    """Fits and applies nodes of NVTabular; everything that it writes lies in one directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = 0

    @property
    def ops(self) -> Any:
        """`nvtabular.ops`."""
        return nvtabular_module("nvtabular.ops")

    def fit(self, node: Any, rows: pl.DataFrame, *, parts: int = 1) -> Any:
        """A fitted `nvtabular.Workflow`."""
        with self._here():
            workflow = nvtabular_module("nvtabular").Workflow(node)
            workflow.fit(self.dataset(rows, parts=parts))
            return workflow

    def apply(self, workflow: Any, rows: pl.DataFrame, *, parts: int = 1) -> pl.DataFrame:
        """What a fitted workflow makes of rows."""
        with self._here():
            made = workflow.transform(self.dataset(rows, parts=parts)).to_ddf().compute(scheduler="synchronous")
            return pl.from_pandas(made.reset_index(drop=True))

    def both(self, node: Any, rows: pl.DataFrame, *, parts: int = 1) -> pl.DataFrame:
        """Fit and apply on the same rows."""
        return self.apply(self.fit(node, rows, parts=parts), rows, parts=parts)

    def dataset(self, rows: pl.DataFrame, *, parts: int = 1) -> Any:
        """Rows as NVTabular's data set, of several partitions if asked for."""
        folder = self.path / f"rows{self._files}"
        folder.mkdir()
        self._files += 1
        size = -(-rows.height // parts)
        for number in range(parts):
            rows.slice(number * size, size).write_parquet(folder / f"{number}.parquet")
        return nvtabular_module("nvtabular").Dataset(str(folder), engine="parquet")

    @contextmanager
    def _here(self) -> Iterator[None]:
        """In this directory, since its operators write into the current one, and without its warnings."""
        before = Path.cwd()
        os.chdir(self.path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            os.chdir(before)
