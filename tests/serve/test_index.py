"""The item index: exact below the threshold, and above it tuned to a recall that is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from serve.index import ItemIndex, build_index
from serve.signature import Array
from serve.spec import IndexSpec


def clouds(count: int, width: int = 16, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(50, width))
    points = centres[rng.integers(0, 50, count)] + 0.3 * rng.normal(size=(count, width))
    return points.astype(np.float32)


def test_exact_search_is_the_inner_product() -> None:
    vectors, queries = clouds(300), clouds(5, seed=1)
    index, figures = build_index(vectors, queries, IndexSpec())
    scores, rows = index.search(queries, 7)
    wanted = np.argsort(-(queries @ vectors.T), axis=1)[:, :7]
    np.testing.assert_array_equal(rows, wanted)
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ vectors.T, wanted, 1), rtol=1e-5)
    assert (figures.kind, figures.recall) == ("exact", 1.0)


@pytest.mark.parametrize("target", [0.5, 0.9, 0.99])
def test_the_inverted_file_reaches_its_recall_with_as_few_lists_as_it_takes(target: float) -> None:
    vectors, queries = clouds(5000), clouds(200, seed=1)
    spec = IndexSpec(exact_below=1000, recall=target, depth=50, queries=200)
    index, figures = build_index(vectors, queries, spec)
    truth = np.argsort(-(queries @ vectors.T), axis=1)[:, :50]
    found = index.search(queries, 50)[1]
    recall = np.mean([len(np.intersect1d(a, b)) / 50 for a, b in zip(found, truth, strict=True)])
    assert figures.kind == "ivf"
    assert figures.recall == pytest.approx(recall, abs=1e-3)
    assert figures.recall >= target
    assert figures.probes < figures.lists


def test_a_full_recall_visits_lists_until_it_is_reached() -> None:
    vectors = clouds(2000)
    _, figures = build_index(vectors, clouds(50, seed=2), IndexSpec(exact_below=1, recall=1.0))
    assert figures.recall == 1.0


def test_write_and_read_keep_the_answers_and_the_probes(tmp_path: Path) -> None:
    vectors, queries = clouds(3000), clouds(20, seed=1)
    index, _ = build_index(vectors, queries, IndexSpec(exact_below=100, recall=0.9))
    index.write(tmp_path / "index.faiss")
    again = ItemIndex.read(tmp_path / "index.faiss")
    np.testing.assert_array_equal(again.search(queries, 9)[1], index.search(queries, 9)[1])
    assert (len(again), again.width) == (3000, 16)


def test_more_neighbours_than_items() -> None:
    index, _ = build_index(clouds(3), clouds(1), IndexSpec())
    assert index.search(clouds(1), 10)[1].shape == (1, 3)


def test_a_broken_file_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "index.faiss").write_bytes(b"nothing of faiss")
    with pytest.raises(UserError, match="this is not an index"):
        ItemIndex.read(tmp_path / "index.faiss")
