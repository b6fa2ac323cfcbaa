"""Sums over lists in exported networks: right with any number of threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from serve.network import DataFile, input_names, network_model
from serve.signature import Array
from train.batch import Batch, Features, ListFeature
from train.jagged import Jagged, pooled

TAGS, WIDTH = 50, 8
FEATURES = Features((), (), (), (ListFeature("tags", TAGS),))


class Pooled(nn.Module):
    """Sums of whole numbers: no order of additions changes them."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(TAGS, WIDTH)
        with torch.no_grad():
            self.table.weight.copy_(torch.arange(TAGS * WIDTH).reshape(TAGS, WIDTH) % 7)

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> vector_BD."""
        lists = batch.lists["tags"]
        return pooled(self.table(lists.values_J), lists, mean=False)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sums")
    with (folder / "data").open("wb") as handle:
        model = network_model(Pooled(), FEATURES, DataFile(handle, "data"), output="out", sigmoid=False)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(folder / "model.onnx"))
    return folder / "model.onnx"


def run(file: Path, lists: Jagged, threads: int) -> Array:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    none = np.zeros((len(lists), 0))
    tensors = (none.astype(np.int64), none.astype(np.float32), lists.values_J.numpy(), lists.offsets_B1.numpy())
    given = dict(zip(input_names(FEATURES), tensors, strict=True))
    found: Array = session.run(["out"], {each.name: given[each.name] for each in session.get_inputs()})[0]
    return found


def test_no_thread_adds_where_another_does(file: Path) -> None:
    kinds = [node.op_type for node in onnx.load(str(file), load_external_data=False).graph.node]
    assert "ScatterND" not in kinds
    assert "Loop" in kinds


@pytest.mark.parametrize("sizes", [[0], [0, 0, 3], [16], [1, 0, 17, 2, 33], [20_000], [9_000, 1, 30_000]])
@pytest.mark.parametrize("threads", [1, 4])
def test_sums_are_right(sizes: list[int], threads: int, file: Path) -> None:
    values = torch.randint(TAGS, (sum(sizes),), generator=torch.Generator().manual_seed(0))
    lists = Jagged(values, torch.tensor([0, *np.cumsum(sizes)]))
    batch = Batch(torch.zeros(len(sizes), 0).long(), torch.zeros(len(sizes), 0), lists={"tags": lists})
    wanted = Pooled()(batch).detach().numpy()
    for _ in range(5):
        assert np.array_equal(run(file, lists, threads), wanted)
