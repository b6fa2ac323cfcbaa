"""Figures of serving what reads histories: scores of all items, equations, attention; beside the same in memory.

    python -m pytest tests/bench/bench_serve_histories.py -m bench -s

The data are made up and the weights are random. Which items are near others and which are met follows how popular
they are (the n-th has a share of 1 / n), as in real data: it decides how many numbers are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from core.dataset import Dataset
from etl.fitted import Fitted
from serve.bundle import Bundle
from serve.columns import encode_frame, parse
from serve.export import write_bundle
from serve.golden import batch_of
from serve.met import met_of
from serve.parts import Parts
from serve.recommend import Recommender
from serve.signature import Array, Input
from serve.spec import ExportSpec
from tests.bench.bench_serve import CANDIDATES, ITEMS, p50, prepare
from tests.serve import planted
from train.batch import Batch, Features, ListFeature
from train.history_batches import HistorySpec
from train.models import RANKERS
from train.models.retrieve.base import Scores, Sizes, Towers
from train.models.retrieve.ease import EaseSpec
from train.models.retrieve.ials import FoldIn, IalsSpec
from train.models.retrieve.item_item import SparseItems
from train.models.retrieve.item_knn import ItemKnnSpec
from train.retriever import Retriever
from train.spec import RankerSpec, RetrieverSpec

MET, BEST = 50, 200
NEAR = {"ease": EaseSpec(neighbours=1000), "item_knn": ItemKnnSpec()}
FACTORS = {"ials, 64": IalsSpec(), "ials, 256": IalsSpec(embedding_dim=256)}
REPEATS, FEW = 100, 25


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Fitted, Sizes]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return prepare(tmp_path_factory.mktemp("histories"))


def popular(rng: np.random.Generator, count: int) -> Array:
    """Different items, drawn by how popular they are."""
    found = np.unique((ITEMS ** rng.random(4 * count)).astype(np.int64) - 1)
    while len(found) < count:
        found = np.unique(np.concatenate([found, rng.integers(0, ITEMS, count)]))
    return rng.permutation(found)[:count]


def near_items(module: SparseItems, rng: np.random.Generator) -> None:
    """Fill with neighbours."""
    near_IN = np.stack([popular(rng, module.neighbours) for _ in range(ITEMS)])
    module.hold(torch.from_numpy(near_IN), torch.from_numpy(rng.normal(size=near_IN.shape).astype(np.float32)))


def bundle_of(data: tuple[Dataset, Fitted, Sizes], path: Path, spec: RetrieverSpec, module: Towers | Scores) -> Bundle:
    dataset, fitted, sizes = data
    parts = Parts(dataset, fitted, None, Retriever(module.eval(), sizes, spec))
    write_bundle(parts, ExportSpec(golden_rows=20), path / "bundle", metrics={}, config={})
    return Bundle.open(path / "bundle")


def best(score_I: Array) -> Array:
    """The rows of the best, in order."""
    rows = np.argpartition(-score_I, BEST)[:BEST]
    return rows[np.lexsort((rows, -score_I[rows]))]


def sums(module: SparseItems) -> Callable[[Array], Array]:
    """The best by sums of rows, in NumPy."""
    start, item, weight = (each.numpy() for each in (module.start_I1, module.item_K, module.weight_K))

    def run(met: Array) -> Array:
        score_I = np.zeros(ITEMS, np.float32)
        for row in np.unique(met):
            near = slice(start[row], start[row + 1])
            score_I[item[near]] += weight[near]
        return best(score_I)

    return run


def solved(query: FoldIn) -> Callable[[Array], Array]:
    """The best by a system of equations, in NumPy."""
    vector_IV, penalty = query.vector_IV.numpy(), query.penalty
    common_VV = penalty.unobserved * vector_IV.T @ vector_IV

    def run(met: Array) -> Array:
        near_JV = vector_IV[np.unique(met)].astype(np.float64)
        own = penalty.l2 * (len(near_JV) + penalty.unobserved * ITEMS) ** penalty.exponent
        matrix_VV = common_VV + near_JV.T @ near_JV + own * np.eye(len(common_VV))
        query_V = np.linalg.solve(matrix_VV, near_JV.sum(0))
        return best(vector_IV @ query_V.astype(np.float32))

    return run


def tell(name: str, bundle: Bundle, inputs: Mapping[str, Input], in_memory: Callable[[Array], Array]) -> None:
    met = popular(np.random.default_rng(1), MET)
    ids = [int(row) * 7 for row in met]
    model, recommender = bundle.model("retriever"), Recommender(bundle)
    columns = {"history": parse(inputs["history"], ids)}
    one, whole = (
        p50(lambda: model.run(columns), REPEATS),
        p50(lambda: recommender.recommend(None, {"history": ids}), REPEATS),
    )
    numpy = p50(lambda: in_memory(met), REPEATS)
    size = sum(file.stat().st_size for file in bundle.path.iterdir()) / 2**20
    print(
        f"{name:15} model p50 {one:.2f} ms, recommend {whole:.2f} ms; NumPy in memory {numpy:.2f} ms; {size:,.0f} MiB"
    )


@pytest.mark.bench
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NEAR)
def test_scores_of_all_items(data: tuple[Dataset, Fitted, Sizes], name: str, tmp_path: Path) -> None:
    spec = RetrieverSpec(model=NEAR[name])
    module = spec.model.build(data[2])
    assert isinstance(module, SparseItems)
    near_items(module, np.random.default_rng(0))
    bundle = bundle_of(data, tmp_path, spec, module)
    tell(name, bundle, {one.name: one for one in bundle.signatures["retriever"].inputs}, sums(module))


@pytest.mark.bench
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", FACTORS)
def test_equations(data: tuple[Dataset, Fitted, Sizes], name: str, tmp_path: Path) -> None:
    spec = RetrieverSpec(model=FACTORS[name])
    module = spec.model.build(data[2])
    assert isinstance(module, Towers)
    bundle = bundle_of(data, tmp_path, spec, module)
    query = module.query
    assert isinstance(query, FoldIn)
    tell(name, bundle, {one.name: one for one in bundle.signatures["retriever"].inputs}, solved(query))


@pytest.mark.bench
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", ["mlp", "din", "dien", "bst"])
def test_rankers(data: tuple[Dataset, Fitted, Sizes], kind: str, tmp_path: Path) -> None:
    dataset, fitted, _ = data
    plain = Features.of(fitted.schema)
    size = plain.cardinalities[plain.categorical.index("item_id")]
    features = replace(plain, lists=(ListFeature("history.item_id", size, of="item_id"),))
    model = RANKERS[kind].model_validate({"kind": kind})
    ranker = planted.Ranker(model.build(features).eval(), features, RankerSpec(model=model, history=HistorySpec()))
    write_bundle(
        Parts(dataset, fitted, ranker, None), ExportSpec(golden_rows=20), tmp_path / "bundle", metrics={}, config={}
    )
    bundle = Bundle.open(tmp_path / "bundle")
    served = bundle.model("ranker")
    user, items = bundle.table("users.parquet").head(1), bundle.table("items.parquet").head(CANDIDATES)
    ids = [int(row) * 7 for row in popular(np.random.default_rng(1), MET)]
    inputs = {one.name: one for one in served.signature.inputs}
    columns = {
        **encode_frame(user, served.signature.of_side("user", "context")),
        "history": parse(inputs["history"], ids),
        **encode_frame(items, served.signature.of_side("item")),
    }
    # The same in memory: features that are already made, one history a candidate, the module in PyTorch.
    raw = user.drop("history")[[0] * CANDIDATES].hstack(items).with_columns(pl.Series("history", [ids] * CANDIDATES))
    met = met_of(ranker, dataset, column="history")
    assert met is not None
    made = fitted.transform(raw.lazy(), columns=plain.names).collect().hstack(met.columns(raw))
    batch = batch_of(made, features)
    np.testing.assert_allclose(served.run(columns), eager(ranker.module, batch), atol=1e-5)
    one, torch_ms = p50(lambda: served.run(columns), FEW), p50(lambda: eager(ranker.module, batch), FEW)
    print(f"{kind:5} {CANDIDATES} candidates, {MET} met: p50 {one:.1f} ms; PyTorch on made features {torch_ms:.1f} ms")


@torch.inference_mode()
def eager(module: nn.Module, batch: Batch) -> Array:
    """Scores by PyTorch."""
    score: Array = torch.sigmoid(module(batch)).numpy()
    return score
