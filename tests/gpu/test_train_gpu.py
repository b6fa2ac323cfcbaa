"""Rankers on CUDA: the same batches, the same weights to a stated tolerance, the same bits twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.dataset import USER_INDEX
from core.files import hash_tree
from tests.train.synthetic import Planted, write_planted
from tests.train.two_targets import write_two
from train.batch import Batch, Features
from train.loader import Loader
from train.losses.pointwise import binary_cross_entropy
from train.metrics.classification import auc
from train.models import RANKERS
from train.models.behaviour import BEHAVIOUR
from train.optim.mover import Mover
from train.predict import predict
from train.ranker import load_ranker, train_ranker
from train.read_cudf import has_cudf
from train.spec import OptimizerSpec, RankerSpec

pytestmark = pytest.mark.gpu
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
GRADIENT_TOLERANCE = 1e-5
"""Largest difference of a weight's gradient on one batch, relative to that weight's largest gradient."""
LOGIT_TOLERANCE = 0.01
"""Largest difference of a logit after FEW steps. Adagrad and AdamW divide by the gradient's own size, so where a
gradient nearly cancels they turn its rounding error into a step: 0.0013 for a DLRM on an H100."""
FEW = 5
AUC_TOLERANCE = 0.005
"""Of a whole training: by then the paths have drifted apart (a DLRM's logits by up to 0.2 after three epochs)."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_planted(Path(tmp_path_factory.mktemp("planted")) / "data", rows=20_000, users=200, items=80)


def _spec(kind: str) -> RankerSpec:
    small = {"embedding_dim": 8, "hidden": [64]}
    sizes = {name: value for name, value in small.items() if name in RANKERS[kind].model_fields}
    return RankerSpec.model_validate({"model": {"kind": kind, **sizes}, "epochs": 3, "batch_size": 512})


def _scores(planted: Planted, directory: Path) -> tuple[torch.Tensor, torch.Tensor]:
    ranker = load_ranker(directory)
    return predict(ranker.module, Loader(planted.dataset.files("test"), ranker.features, 1000))


@pytest.mark.parametrize("kind", sorted(RANKERS.keys() - BEHAVIOUR.keys()))
def test_both_devices_find_the_same_gradients(planted: Planted, kind: str) -> None:
    features = Features.of(planted.dataset.schema())
    batch = next(iter(Loader(planted.dataset.files("train"), features, 512, shuffle=True, seed=4)))
    found = {}
    for device in (CPU, CUDA):
        torch.manual_seed(5)
        module = _spec(kind).model.build(features).to(device)
        here = batch.to(device)
        assert here.target_B is not None
        binary_cross_entropy(module(here), here.target_B).backward()
        gradients = {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}
        found[device.type] = {name: (g.to_dense() if g.is_sparse else g).cpu() for name, g in gradients.items()}
    assert found["cpu"].keys() == found["cuda"].keys()
    for name, gradient in found["cpu"].items():
        allowed = GRADIENT_TOLERANCE * gradient.abs().max()
        assert (found["cuda"][name] - gradient).abs().max() <= allowed, name


@pytest.mark.parametrize("kind", sorted(RANKERS.keys() - BEHAVIOUR.keys()))
def test_a_few_steps_move_both_devices_alike(planted: Planted, kind: str) -> None:
    features = Features.of(planted.dataset.schema())
    batches = list(Loader(planted.dataset.files("train"), features, 512, shuffle=True, seed=4))[:FEW]
    logits = {}
    for device in (CPU, CUDA):
        torch.manual_seed(5)
        module = _spec(kind).model.build(features).to(device)
        mover = Mover(module, OptimizerSpec(), steps=FEW)
        for step, batch in enumerate(batches):
            here = batch.to(device)
            assert here.target_B is not None
            binary_cross_entropy(module(here), here.target_B).backward()
            mover.step(step)
        with torch.no_grad():
            logits[device.type] = module.eval()(batches[0].to(device)).cpu()
    assert (logits["cpu"] - logits["cuda"]).abs().max() <= LOGIT_TOLERANCE


@pytest.mark.parametrize("kind", sorted(RANKERS.keys() - BEHAVIOUR.keys()))
def test_both_devices_learn_as_well(planted: Planted, tmp_path: Path, kind: str) -> None:
    found = []
    for device in (CPU, CUDA):
        train_ranker(planted.dataset, _spec(kind), tmp_path / device.type, seed=1, device=device)
        found.append(auc(*_scores(planted, tmp_path / device.type)))
    assert found[1] == pytest.approx(found[0], abs=AUC_TOLERANCE)


def test_one_device_gives_the_same_bits_twice(planted: Planted, tmp_path: Path) -> None:
    for name in ("first", "second"):
        train_ranker(planted.dataset, _spec("dlrm"), tmp_path / name, seed=1, device=CUDA)
    assert hash_tree(tmp_path / "first") == hash_tree(tmp_path / "second")


def test_a_run_killed_on_the_gpu_ends_the_same(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _spec("dlrm").model_copy(update={"checkpoint_seconds": 0.0})
    train_ranker(planted.dataset, spec, tmp_path / "whole", seed=1, device=CUDA)
    original, calls = Mover.step, iter(range(10**6))

    def fatal(self: Mover, step: int) -> None:
        if next(calls) == 40:
            raise KeyboardInterrupt
        original(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Mover, "step", fatal)
        with pytest.raises(KeyboardInterrupt):
            train_ranker(planted.dataset, spec, tmp_path / "killed", seed=1, device=CUDA)
    train_ranker(planted.dataset, spec, tmp_path / "killed", seed=1, device=CUDA)
    assert hash_tree(tmp_path / "killed") == hash_tree(tmp_path / "whole")


def _batches(planted: Planted, device: torch.device) -> list[Batch]:
    features = Features.of(planted.dataset.schema())
    files = planted.dataset.files("train")
    loader = Loader(files, features, 256, shuffle=True, seed=4, extra=(USER_INDEX,), block_rows=3000, device=device)
    return list(loader.epoch(1, 3))


def _assert_same_batches(planted: Planted) -> None:
    cpu, cuda = _batches(planted, CPU), _batches(planted, CUDA)
    assert len(cpu) == len(cuda)
    for ours, theirs in zip(cpu, cuda, strict=True):
        assert theirs.ids_BF.is_cuda
        assert torch.equal(ours.ids_BF, theirs.ids_BF.cpu())
        assert torch.equal(ours.dense_BD, theirs.dense_BD.cpu())
        assert torch.equal(ours.target_B, theirs.target_B.cpu())
        assert torch.equal(ours.extra[USER_INDEX], theirs.extra[USER_INDEX].cpu())
        assert (ours.targets_BT is None) == (theirs.targets_BT is None)
        if ours.targets_BT is not None and theirs.targets_BT is not None:
            torch.testing.assert_close(theirs.targets_BT.cpu(), ours.targets_BT, rtol=0, atol=0, equal_nan=True)


def test_the_loader_gives_the_same_batches_through_pinned_memory(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.loader.has_cudf", lambda: False)
    _assert_same_batches(planted)


@pytest.mark.skipif(not has_cudf(), reason="cuDF is not installed")
def test_the_loader_gives_the_same_batches_through_cudf(planted: Planted) -> None:
    _assert_same_batches(planted)


@pytest.mark.skipif(not has_cudf(), reason="cuDF is not installed")
def test_targets_that_are_not_known_come_through_cudf(tmp_path: Path) -> None:
    _assert_same_batches(write_two(tmp_path, rows=8000))
