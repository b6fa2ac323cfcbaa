"""Would the plans of every operator run on a GPU? Asked of cudf-polars' own planner, on a machine without a GPU.

    python -m tests.tools.plan_check

Writes the plans that a GPU engine would get, those of fit and of transform, for each operator and type of column,
and hands them to a planner check that lives outside this repository:

    GYRFALCON_GPU_PLAN         folder that holds gpu_plan.py
    GYRFALCON_GPU_PLAN_PYTHON  a Python with cudf-polars' planner, in which gpu_plan.py runs

Where these are not set it says so and exits with 0. A plan that would leave the GPU, or that holds all rows at once
without being listed in COLLAPSES, makes it exit with 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import polars as pl

from core.dataset import ROW
from etl.engines.base import Engine, Sunk
from etl.ops import OPERATORS, Categorify
from etl.ops.base import Rows
from etl.workflow import Workflow
from tests.contract.frames import TRAIN
from tests.contract.operators import OperatorContract

COLLAPSES = {
    ("fill_median", "fit"): "an exact median has to see all values of its column at once",
    ("groupby", "transform"): "the rows of a list stand in order, and an exact median sees all values, at once",
}
"""Kinds whose fit or transform may gather a column in one partition, and why; `docs/engines.md` repeats it."""


class Recorder(Engine):
    """Stands in for a GPU engine and notes the plans that it is given."""

    name = "recorder"
    ordered = False
    ticks = False

    def __init__(self) -> None:
        self.plans: list[pl.LazyFrame] = []

    def collect(self, frames: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        self.plans += frames
        return pl.collect_all(list(frames))

    def sink(self, frame: pl.LazyFrame, directory: Path, *, row_group_size: int = 0) -> Sunk:
        raise AssertionError("no plan is written to disk here")


def contract_cases() -> list[type[OperatorContract]]:
    """The operators, rows and columns that the contract's tests use; LambdaOps, which hold Python, are left out."""
    import tests.etl.ops.test_contract as contract

    found = [case for case in vars(contract).values() if isinstance(case, type)]
    chosen = [case for case in found if issubclass(case, OperatorContract) and case is not OperatorContract]
    listed = [case for case in chosen if case.saved]
    missing = set(OPERATORS.values()) - {type(case.operator) for case in listed}
    assert not missing, f"no case for {missing}"
    return listed


def plans(folder: Path) -> Iterator[tuple[str, str, pl.LazyFrame]]:
    """Kind, name and plan: of the fit of each operator, and of its transform."""
    for case in contract_cases():
        name = case.__name__.removeprefix("Test")
        source = folder / f"{name}.parquet"
        case.frames.train.with_row_index(ROW).write_parquet(source)
        for place, plan in _plans_of(case().workflow, pl.scan_parquet(source)):
            yield case.operator.kind, f"{name}-{place}", plan
    # A vocabulary too large to be written into a plan is joined.
    source = folder / "rows.parquet"
    TRAIN.with_row_index(ROW).write_parquet(source)
    with patch("etl.values.lookup.SMALL", 0):
        for place, plan in _plans_of(Workflow(["int", "text"] >> Categorify(num_buckets=2)), pl.scan_parquet(source)):
            yield Categorify.kind, f"CategorifyJoined-{place}", plan


def _plans_of(workflow: Workflow, frame: pl.LazyFrame) -> Iterator[tuple[str, pl.LazyFrame]]:
    engine = Recorder()
    fitted = workflow.fit(frame, engine)
    fitting = len(engine.plans)
    regrouped = any(step.operator.rows is Rows.REGROUPED for step in fitted.steps)
    keep, training = ([], None) if regrouped else ([ROW], pl.col(ROW) < TRAIN.height // 2)
    final = fitted.transform(frame, keep=keep, engine=engine, training=training)
    for index, plan in enumerate([*engine.plans, final]):
        yield f"{'fit' if index < fitting else 'transform'}-{index}", plan


def write(folder: Path) -> list[str]:
    """Write every plan; the arguments that allow the declared collapses."""
    allowed = []
    (folder / "plans").mkdir()
    for kind, name, plan in plans(folder):
        plan.serialize(folder / "plans" / f"{name}.plan")
        if any((kind, place) in COLLAPSES and f"-{place}-" in name for place in ("fit", "transform")):
            allowed += ["--allow-collapse", name]
    return allowed


def main() -> int:
    """Run the check; its exit status."""
    tool, python = (os.environ.get(f"GYRFALCON_GPU_PLAN{suffix}") for suffix in ("", "_PYTHON"))
    if not tool or not python:
        print("plan check skipped: GYRFALCON_GPU_PLAN and GYRFALCON_GPU_PLAN_PYTHON are not set")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        allowed = write(Path(folder))
        command = [python, "gpu_plan.py", "--plans", str(Path(folder) / "plans"), *allowed]
        return subprocess.run(command, cwd=tool, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
