"""Figures of serving: 1000 candidates through the ranker, directly and over HTTP, and whole recommendations.

    python -m pytest tests/bench/bench_serve.py -m bench -s

The data are made up and the weights are random: times do not depend on what a model has learned.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from core.dataset import ITEM_INDEX, SPLIT, TARGET, TIME, USER_INDEX, Dataset
from core.files import write_json
from core.schema import Column, DType, Schema, Tag
from etl.fitted import Fitted
from etl.ops import Categorify, FillMedian, LogOp, Normalize
from etl.workflow import Workflow
from serve.app import make_app
from serve.bundle import Bundle
from serve.columns import encode_frame
from serve.export import write_bundle
from serve.parts import Parts
from serve.recommend import Recommender
from serve.spec import ExportSpec
from tests.serve import planted
from tests.serve.live import running
from train.batch import Features
from train.models.rank.dlrm import DlrmSpec
from train.models.retrieve.base import Sizes
from train.models.retrieve.two_tower import TwoTowerSpec
from train.retriever import Retriever
from train.spec import RetrieverSpec

USERS, ITEMS, SEEN, CANDIDATES = 20_000, 50_000, 200_000, 1000
CATEGORIES, NUMBERS = 5, 3
"""Columns on each side beside the id."""


@dataclass(frozen=True)
class Side:
    """Users or items."""

    name: str
    rows: int

    def table(self, rng: np.random.Generator) -> pl.DataFrame:
        """Raw columns."""
        texts = {f"{self.name}_text{n}": rng.integers(0, 10**n + 1, self.rows).astype(str) for n in range(CATEGORIES)}
        numbers = {f"{self.name}_number{n}": rng.lognormal(size=self.rows) for n in range(NUMBERS)}
        return pl.DataFrame({f"{self.name}_id": np.arange(self.rows) * 7, **texts, **numbers})


SIDES = (Side("user", USERS), Side("item", ITEMS))


def prepare(path: Path) -> tuple[Dataset, Fitted, Sizes]:
    """Write a data set of users and items: the data set, its workflow and what models are built for."""
    rng = np.random.default_rng(0)
    tables = {side.name: side.table(rng) for side in SIDES}
    pairs = pl.DataFrame(
        {
            USER_INDEX: rng.integers(0, USERS, SEEN).astype(np.int32),
            ITEM_INDEX: rng.integers(0, ITEMS, SEEN).astype(np.int32),
            SPLIT: np.zeros(SEEN, np.int8),
            TARGET: np.ones(SEEN, np.float32),
            TIME: np.arange(SEEN),
        }
    )
    raw = tables["user"][pairs[USER_INDEX]].hstack(tables["item"][pairs[ITEM_INDEX]])
    tags = {
        name: {Tag(side.name)} | ({Tag(f"{side.name}_id")} if name.endswith("_id") else set())
        for side in SIDES
        for name in tables[side.name].columns
    }
    fitted = _workflow(raw, tags)
    dataset = _write(path / "data", tables, pairs, raw, tags, fitted)
    user, item = (Features.of(fitted.schema.select(tag)) for tag in (Tag.USER, Tag.ITEM))
    return dataset, fitted, Sizes(user, item, USERS, ITEMS)


def build(path: Path) -> tuple[Path, dict[str, Any]]:
    """Write the bundle: its directory, and the figures of the export."""
    dataset, fitted, sizes = prepare(path)
    features = Features.of(fitted.schema)
    ranker = planted.Ranker(DlrmSpec().build(features).eval(), features)
    retriever = Retriever(TwoTowerSpec().build(sizes).eval(), sizes, RetrieverSpec(model=TwoTowerSpec()))
    parts = Parts(dataset, fitted, ranker, retriever)
    figures = write_bundle(parts, ExportSpec(), path / "bundle", metrics={}, config={})
    return path / "bundle", figures


def _workflow(raw: pl.DataFrame, tags: dict[str, set[Tag]]) -> Fitted:
    nodes = []
    for name in raw.columns:
        categorical = raw.schema[name] != pl.Float64
        nodes.append([name] >> Categorify() if categorical else [name] >> FillMedian() >> LogOp() >> Normalize())
    return Workflow(*nodes, tags=tags).fit(raw)


def _write(
    path: Path,
    tables: dict[str, pl.DataFrame],
    pairs: pl.DataFrame,
    raw: pl.DataFrame,
    tags: dict[str, set[Tag]],
    fitted: Fitted,
) -> Dataset:
    dataset = Dataset(path)
    for folder in ("entities", "raw"):
        (path / folder).mkdir(parents=True)
    kinds = {pl.Int64: DType.INT64, pl.Float64: DType.FLOAT64, pl.String: DType.STRING}
    columns = [Column(name, kinds[type(raw.schema[name])], frozenset(tag)) for name, tag in tags.items()]
    Schema(tuple(columns)).write(dataset.raw_schema_file)
    write_json(path / "manifest.json", {})
    raw.head(1000).write_parquet(dataset.sample_file)
    pairs.write_parquet(dataset.interactions_file)
    fitted.schema.write(dataset.schema_file)
    for side, table in tables.items():
        table.write_parquet(dataset.entity_file(f"{side}s"))
        names = [column.name for column in fitted.schema if Tag(side) in column.tags]
        fitted.transform(table, columns=names).collect().write_parquet(dataset.features_file(side))
    return dataset


def p50(call: Callable[[], object], repeats: int = 300) -> float:
    """Median milliseconds."""
    for _ in range(min(20, repeats // 5)):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)


@pytest.mark.bench
@pytest.mark.filterwarnings("default")
def test_figures_of_serving(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path, figures = build(tmp_path)
    bundle = Bundle.open(path)
    ranker = bundle.model("ranker")
    user, items = bundle.table("users.parquet").head(1), bundle.table("items.parquet").head(CANDIDATES)
    signature = ranker.signature
    one = encode_frame(user, signature.of_side("user", "context"))
    columns = {**one, **encode_frame(items, signature.of_side("item"))}
    spread = {name: np.repeat(values, CANDIDATES) if name in one else values for name, values in columns.items()}
    recommender = Recommender(bundle)
    users = iter(np.arange(10_000) * 7)
    print(f"\nexport {figures['seconds']['total']:.1f} s, {figures['bytes'] / 2**20:.0f} MiB, index {figures['index']}")
    print(f"ranker, {CANDIDATES} candidates of one user      p50 {p50(lambda: ranker.run(columns)):.2f} ms")
    print(f"ranker, the same with {CANDIDATES} user rows     p50 {p50(lambda: ranker.run(spread)):.2f} ms")
    print(
        f"recommend(k=10), {recommender.candidates} candidates of {ITEMS:,} items  p50 "
        f"{p50(lambda: recommender.recommend(int(next(users)))):.2f} ms"
    )
    _over_http(bundle, columns)


def _over_http(bundle: Bundle, columns: dict[str, Any]) -> None:
    import tritonclient.http as triton

    kinds = {"int64": "INT64", "float64": "FP64", "float32": "FP32", "object": "BYTES"}
    inputs = []
    for name, values in columns.items():
        inputs.append(triton.InferInput(name, [len(values)], kinds[str(values.dtype)]))
        inputs[-1].set_data_from_numpy(values)
    with running(make_app(bundle)) as port:
        client = triton.InferenceServerClient(f"127.0.0.1:{port}")
        print(f"ranker over HTTP, binary, tritonclient       p50 {p50(lambda: client.infer('ranker', inputs)):.2f} ms")
