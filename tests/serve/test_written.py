"""Networks written by hand give what the modules give: those of item-item scores to the bit, of iALS to rounding."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from serve.index import BestScores
from serve.network import LARGE, DataFile
from serve.signature import Array
from serve.written import written_model
from train.batch import Batch
from train.evaluation.ranking import best
from train.histories import HISTORY
from train.jagged import Jagged
from train.linear_algebra.normal_equations import Penalty
from train.models.retrieve.ials import FoldIn
from train.models.retrieve.item_item import DenseItems, Scores, SparseItems

ITEMS = 150
LISTS = [[3, 1, 3], [], [*range(0, ITEMS, 2), 4, 4], [149], [7, 5, 3, 1, 7]]


def query(lists: list[list[int]]) -> Batch:
    none = torch.zeros(len(lists), 0)
    return Batch(none.long(), none, lists={HISTORY: Jagged.of(lists)})


def run(module: torch.nn.Module, lists: list[list[int]], path: Path, threads: int = 1) -> Array:
    file, data = path / "model.onnx", path / "model.onnx.data"
    with data.open("wb") as handle:
        model = written_model(module, DataFile(handle, data.name), output="out")
    onnx.save_model(model, str(file))
    onnx.checker.check_model(str(file), full_check=True)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    given = Jagged.of(lists)
    feed = {"list0__values": given.values_J.numpy(), "list0__offsets": given.offsets_B1.numpy()}
    found: Array = session.run(["out"], feed)[0]
    return found


def dense() -> DenseItems:
    module = DenseItems(ITEMS)
    module.weight_II.copy_(torch.randn(ITEMS, ITEMS, generator=torch.Generator().manual_seed(0)))
    return module


def sparse(neighbours: int = 20, *, whole: bool = False) -> SparseItems:
    generator = torch.Generator().manual_seed(0)
    near = torch.stack([torch.randperm(ITEMS, generator=generator)[:neighbours] for _ in range(ITEMS)])
    weight = torch.randn(near.shape, generator=generator)
    module = SparseItems(ITEMS, neighbours)
    module.hold(near, weight.round() if whole else weight)
    return module


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("module", [dense(), sparse(), sparse(100), sparse(3, whole=True), sparse(0)])
def test_scores_are_equal_to_the_bit(module: Scores, threads: int, tmp_path: Path) -> None:
    for lists in (LISTS, [[]], [[], []], [[8]]):
        wanted = module(query(lists)).numpy()
        found = run(module, lists, tmp_path, threads)
        assert found.dtype == wanted.dtype
        assert np.array_equal(found, wanted)


def test_large_tensors_lie_in_the_data_file(tmp_path: Path) -> None:
    run(dense(), LISTS, tmp_path)
    assert (tmp_path / "model.onnx.data").stat().st_size >= 4 * ITEMS * ITEMS >= LARGE
    assert (tmp_path / "model.onnx").stat().st_size < 8192


@pytest.mark.parametrize("penalty", [Penalty(0.1, 0.003, 1.0), Penalty(0.5, 0.5, 0.0), Penalty(0.001, 0.01, 0.5)])
@pytest.mark.parametrize("width", [1, 8, 64])
def test_equations_are_solved(width: int, penalty: Penalty, tmp_path: Path) -> None:
    vector_IV = torch.randn(ITEMS, width, generator=torch.Generator().manual_seed(1)) * 0.3
    found = run(FoldIn(vector_IV, penalty), LISTS, tmp_path)
    exact = FoldIn(vector_IV.double(), penalty)(query(LISTS)).numpy()
    scale = np.abs(exact).max()
    assert scale > 0.01
    np.testing.assert_allclose(found, exact, atol=1e-6 * scale)
    assert not found[1].any()
    assert not run(FoldIn(vector_IV, penalty), [[]], tmp_path).any()


def test_other_modules_are_left_to_torch(tmp_path: Path) -> None:
    with (tmp_path / "data").open("wb") as handle:
        assert written_model(torch.nn.Linear(1, 1), DataFile(handle, "data"), output="out") is None


def test_the_best_scores_are_those_that_the_evaluation_shows() -> None:
    rng = np.random.default_rng(0)
    for items, count in ((1, 5), (40, 7), (300, 50), (300, 300), (300, 1)):
        for drawn in (rng.integers(-2, 3, (4, items)), rng.normal(size=(4, items)), np.zeros((2, items))):
            score_BI = (drawn * rng.choice([-1.0, 1.0], items)).astype(np.float32)  # zeros of both signs
            given = torch.from_numpy(score_BI)
            wanted, high = best(partial(rows_of, given), rows=len(given), k=count, block=2)
            scores, rows = BestScores().search(score_BI, count)
            assert np.array_equal(rows, wanted.numpy()[:, :items])
            assert np.array_equal(scores, high.numpy()[:, :items])


def rows_of(scores: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    return scores[start:stop].clone()
