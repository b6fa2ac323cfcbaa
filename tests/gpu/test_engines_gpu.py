"""The same plan gives the same rows on the CPU and on cuDF: every operator, and the whole ETL stage."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from core.dataset import ROW, SPLIT, Dataset
from etl import engines
from etl.dataset.prepare import prepare
from etl.dataset.sources import Sources
from etl.ops import (
    OPERATORS,
    Bucketize,
    Categorify,
    Clip,
    FillMedian,
    FillMissing,
    Formula,
    HashBucket,
    LogOp,
    Normalize,
    NormalizeMinMax,
    Operator,
    Rename,
)
from etl.spec import EtlSpec
from etl.workflow import Workflow

needs_cudf = pytest.mark.skipif(importlib.util.find_spec("cudf_polars") is None, reason="cudf-polars is not installed")
pytestmark = [pytest.mark.gpu, needs_cudf]

CASES: dict[str, tuple[list[str], Operator]] = {
    "categorify": (["city", "item"], Categorify()),
    "categorify_threshold": (["city", "item"], Categorify(freq_threshold=3, num_buckets=5)),
    "fill_missing": (["age", "price"], FillMissing(fill_val=7, add_binary_cols=True)),
    "fill_median": (["age", "price"], FillMedian()),
    "clip": (["age", "price"], Clip(min_value=10, max_value=50)),
    "log": (["price"], LogOp()),
    "normalize": (["age", "price"], Normalize()),
    "normalize_min_max": (["age", "price"], NormalizeMinMax()),
    "bucketize": (["age"], Bucketize(boundaries={"age": [10, 30, 60]})),
    "hash_bucket": (["city", "item"], HashBucket(num_buckets=13)),
    "rename": (["age"], Rename(postfix="_raw")),
    "expression": (["age", "price"], Formula(formula="log(1 + price) / (age + 1)", name="ratio")),
}


def rows(count: int = 20_000) -> pl.DataFrame:
    """Rows with nulls, ties, unicode and empty strings."""
    rng = np.random.default_rng(5)
    cities = np.array(["Oslo", "Zürich", "東京", "", "São Paulo", *(f"town {n}" for n in range(500))])
    frame = pl.DataFrame(
        {
            "user": rng.integers(0, 300, count),
            "item": (rng.zipf(1.3, count) % 5000).astype(np.int64) * 1_000_003 - 2**40,
            "city": cities[rng.zipf(1.2, count) % len(cities)],
            "age": rng.integers(1, 90, count),
            "price": rng.lognormal(2, 1.5, count),
            "when": rng.integers(1_600_000_000, 1_700_000_000, count),
            "label": rng.integers(0, 2, count),
        }
    )
    gone = rng.random((count, 4)) < 0.07
    nulled = [
        pl.when(pl.Series(gone[:, at])).then(None).otherwise(pl.col(name)).alias(name)
        for at, name in enumerate(["item", "city", "age", "price"])
    ]
    return frame.with_columns(nulled)


@pytest.fixture(scope="module")
def gpu() -> Iterator[engines.Engine]:
    with engines.make(engines.CudfEngineSpec()) as engine:
        yield engine


def test_every_operator_has_a_case() -> None:
    assert {type(operator) for _, operator in CASES.values()} == set(OPERATORS.values())


@pytest.mark.parametrize("name", CASES)
def test_operator_is_equal_on_both_engines(name: str, gpu: engines.Engine, tmp_path: Path) -> None:
    columns, operator = CASES[name]
    file = tmp_path / "rows.parquet"
    rows().with_row_index(ROW).with_columns((pl.col(ROW) % 3).cast(pl.Int8).alias(SPLIT)).write_parquet(file)
    scan, workflow = pl.scan_parquet(file), Workflow(columns >> operator)
    found = {}
    for engine in (engines.CpuEngine(), gpu):
        fitted = workflow.fit(scan.filter(pl.col(SPLIT) == 0), engine)
        place = tmp_path / engine.name
        place.mkdir()
        engine.sink(fitted.transform(scan, keep=(ROW, SPLIT), engine=engine), place)
        found[engine.name] = pl.read_parquet(place / "*" / "*.parquet")
    assert_frame_equal(found["cudf"], found["cpu"], rel_tol=1e-6, abs_tol=1e-6)


@pytest.mark.parametrize("split", ["time", "user_time", "leave_last_out", "random"])
def test_the_whole_stage_is_equal_on_both_engines(split: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw.parquet"
    rows().with_columns(pl.col("item").fill_null(1)).write_parquet(raw)
    sources = Sources.model_validate(
        {"interactions": {"path": str(raw)}, "roles": {"user": "user", "item": "item", "time": "when"}}
    )
    made = {}
    for engine in ("cpu", "cudf"):
        spec = EtlSpec.model_validate(
            {
                "engine": engine,
                "target": {"column": "label"},
                "split": split,
                "features": [
                    {"columns": ["user", "item", "city"], "ops": ["categorify"]},
                    {"columns": ["age", "price"], "ops": ["fill_median", "log", "normalize"]},
                ],
            }
        )
        out = tmp_path / engine
        out.mkdir()
        prepare(sources, spec, out, seed=3)
        made[engine] = Dataset(out)
    assert made["cpu"].schema() == made["cudf"].schema()
    assert made["cpu"].manifest()["rows"] == made["cudf"].manifest()["rows"]
    for part in ("train", "valid", "test"):
        cpu, cudf = (pl.read_parquet(made[name].files(part)) for name in ("cpu", "cudf"))
        assert_frame_equal(cudf, cpu, rel_tol=1e-6, abs_tol=1e-6)
    for name in ("cpu", "cudf"):
        assert made[name].interactions_file.exists()
    assert_frame_equal(*(pl.read_parquet(made[name].interactions_file) for name in ("cudf", "cpu")))
