"""The whole ETL stage on dask-cuda, with one worker on one GPU, against the CPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from core.dataset import Dataset
from etl.dataset.prepare import prepare
from etl.dataset.sources import Sources
from etl.spec import EtlSpec
from tests.gpu.test_engines_gpu import rows

missing = [name for name in ("cudf_polars", "dask_cuda", "distributed") if importlib.util.find_spec(name) is None]
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")]


def test_the_whole_stage_is_equal_on_a_cluster(tmp_path: Path) -> None:
    raw = tmp_path / "raw.parquet"
    rows(5_000).write_parquet(raw)
    sources = Sources.model_validate({"interactions": {"path": str(raw)}})
    made = {}
    for name, engine in (("cpu", "cpu"), ("dask", {"kind": "dask-cuda", "workers": 1})):
        spec = EtlSpec.model_validate(
            {
                "engine": engine,
                "target": {"column": "label"},
                "split": "random",
                "features": [
                    {"columns": ["item", "city"], "ops": ["categorify"]},
                    {"columns": ["age", "price"], "ops": [{"fill_missing": {"fill_val": 1}}, "log", "normalize"]},
                ],
            }
        )
        out = tmp_path / name
        out.mkdir()
        prepare(sources, spec, out, seed=3)
        made[name] = Dataset(out)
    for part in ("train", "valid", "test"):
        cpu, dask = (pl.read_parquet(made[name].files(part)) for name in ("cpu", "dask"))
        assert_frame_equal(dask, cpu, rel_tol=1e-6, abs_tol=1e-6)
