"""Every case of the operators' contract gives the same on the CPU and on cuDF: what is learned, and what comes out."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from core.dataset import ROW
from etl import engines
from etl.fitted import Fitted
from etl.ops.base import Rows, State
from tests.contract.operators import OperatorContract
from tests.tools.plan_check import contract_cases

needs_cudf = pytest.mark.skipif(importlib.util.find_spec("cudf_polars") is None, reason="cudf-polars is not installed")
pytestmark = [pytest.mark.gpu, needs_cudf]


@pytest.fixture(scope="module")
def gpu() -> Iterator[engines.Engine]:
    with engines.make(engines.CudfEngineSpec()) as engine:
        yield engine


@pytest.mark.parametrize("case", contract_cases(), ids=lambda case: case.__name__.removeprefix("Test"))
def test_a_case_is_equal_on_both_engines(case: type[OperatorContract], gpu: engines.Engine, tmp_path: Path) -> None:
    contract = case()
    train, both = tmp_path / "train.parquet", tmp_path / "both.parquet"
    contract.train.with_row_index(ROW).write_parquet(train)
    pl.concat([contract.train, contract.odd]).with_row_index(ROW).write_parquet(both)
    keep = [] if contract.operator.rows is Rows.REGROUPED else [ROW]
    made: dict[str, tuple[Fitted, pl.DataFrame]] = {}
    for engine in (engines.CpuEngine(), gpu):
        fitted = contract.workflow.fit(pl.scan_parquet(train), engine)
        rows = engine.collect([fitted.transform(pl.scan_parquet(both), keep=keep, engine=engine)])[0]
        order = keep or [name for name, dtype in rows.schema.items() if not isinstance(dtype, pl.List)]
        made[engine.name] = fitted, rows.sort(order)
    (ours, on_cpu), (theirs, on_gpu) = made["cpu"], made["cudf"]
    assert_frame_equal(on_gpu, on_cpu, rel_tol=1e-6, abs_tol=1e-6)
    assert theirs.schema == ours.schema


LEARNING = [case for case in contract_cases() if case.operator.state_type is not State]


@pytest.mark.parametrize("case", LEARNING, ids=lambda case: case.__name__.removeprefix("Test"))
def test_an_update_is_equal_on_both_engines(case: type[OperatorContract], gpu: engines.Engine, tmp_path: Path) -> None:
    contract, path = case(), tmp_path / "rows.parquet"
    contract.all_rows.write_parquet(path)
    frame = pl.scan_parquet(path)
    made = {}
    for engine in (engines.CpuEngine(), gpu):
        fitted = contract.workflow.fit(frame.filter(pl.col(ROW) < 3), engine)
        updated = fitted.update(frame.filter(pl.col(ROW) >= 3), engine)
        made[engine.name] = updated.schema, updated.transform(contract.all_rows).collect()
    assert made["cpu"][0] == made["cudf"][0]
    assert_frame_equal(made["cudf"][1], made["cpu"][1], rel_tol=1e-6, abs_tol=1e-6)
