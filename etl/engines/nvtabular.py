"""NVTabular as an engine: it fits and transforms; Polars reads before and writes after, on the CPU."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from core.dataset import ROW, SPLIT, SPLITS
from core.errors import UserError
from etl.engines.base import ROW_GROUP, Engine, Sunk
from etl.engines.cpu import CpuEngine
from etl.nvtabular.process import PREFIX, Process, interpreter, room

if TYPE_CHECKING:
    from etl.fitted import Fitted
    from etl.nvtabular.run import Ran
    from etl.workflow import Workflow


class NvtabularEngine(Engine):
    """Compiles a workflow to a real `nvtabular.Workflow`, which does the fit and the transform in a process of its own.

    What NVTabular learned is taken over, so that the workflow that is saved and served gives the very ids that it
    gave; and each output is compared with what would be served before it is written. NVTabular can't run Polars
    plans: reading, labelling and splitting before it, and writing after it, are Polars on the CPU.

    Args:
        python: The interpreter of the environment that holds NVTabular; see `etl.nvtabular.process.interpreter`.

    Raises:
        MissingExtra: There is none, or it can't import NVTabular.
    """

    name = "nvtabular"

    def __init__(self, python: str | None = None) -> None:
        chosen = python or interpreter()
        self._scratch = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            self._process = Process(chosen, self._scratch)
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        self._ran: Ran | None = None

    def collect(self, frames: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        """Refuse: NVTabular runs operators, not Polars plans."""
        raise UserError(
            "NVTabular can't run a Polars plan, nor go on from an earlier fit",
            where="engine nvtabular",
            cure="set `etl.engine: cpu`; in Python, call this engine's `fit` and `write`",
        )

    def sink(self, frame: pl.LazyFrame, directory: Path, *, row_group_size: int = ROW_GROUP) -> Sunk:
        """Write on the CPU what NVTabular made; see `Engine.sink`."""
        return CpuEngine().sink(frame, directory, row_group_size=row_group_size)

    def fit(self, workflow: Workflow, frame: pl.LazyFrame, *, only: pl.Expr | None = None, label: str = "") -> Fitted:
        """Let NVTabular learn from the training rows; see `Engine.fit`. What was seen is labelled NVTabular."""
        from etl.nvtabular.run import fit

        rows = frame if only is None else frame.filter(only)
        with room(self._scratch):
            self._ran = fit(self._process, workflow.plan(frame.collect_schema()), rows, self._fresh())
        return self._ran.fitted

    def write(
        self,
        fitted: Fitted,
        frame: pl.LazyFrame,
        directory: Path,
        *,
        keep: Sequence[str],
        training: pl.Expr | None = None,
    ) -> Sunk:
        """Let NVTabular transform every split on its own; see `Engine.write`.

        All rows are compared as new ones. Where rows of the fit get other values (target_encoding), those are
        NVTabular's own, by its folds.

        Raises:
            UserError: It gives something else than would be served; names the feature. Or the training rows aren't
                those of the fit.
        """
        from etl.nvtabular.check import require_equal, require_rows
        from etl.nvtabular.run import of_the_fit, transform

        ran = self._of(fitted)
        own = None
        if training is not None and ran.folded:
            with room(self._scratch):
                own = of_the_fit(ran, self._fresh())
            require_rows(own, frame.filter(training))
        parts = []
        for number, _ in enumerate(SPLITS):
            rows = frame.filter(pl.col(SPLIT) == number)
            with room(self._scratch):
                made = transform(ran, rows, self._fresh(), keep)
            require_equal(made, fitted.transform(rows, keep=[ROW]), fitted)
            parts.append((made if own is None else _replaced(made, own, keep)).sort(ROW))
        return self.sink(pl.concat(parts), directory)

    def close(self) -> None:
        """End NVTabular's process and remove its files."""
        self._process.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _of(self, fitted: Fitted) -> Ran:
        if self._ran is None or self._ran.fitted is not fitted:
            raise UserError(
                "NVTabular can only run what it fitted last",
                where="engine nvtabular",
                cure="fit with this engine, or transform with `engine: cpu`",
            )
        return self._ran

    def _fresh(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._scratch))


def _replaced(made: pl.LazyFrame, own: pl.LazyFrame, keep: Sequence[str]) -> pl.LazyFrame:
    """Rows with the outputs of `own` where that has them."""
    found = made.select(keep).join(own, on=ROW, how="inner")
    return pl.concat([made.join(own, on=ROW, how="anti"), found])
