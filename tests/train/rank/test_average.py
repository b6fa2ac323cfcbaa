"""The moving average of the weights: lazy for tables, yet the average of every row over every step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from core.files import hash_tree
from tests.train.synthetic import Planted
from train import trainer
from train.batch import Features
from train.layers.embedding import FusedEmbedding
from train.models.rank.mlp import MlpSpec
from train.optim.average import Average
from train.optim.mover import Mover
from train.ranker import _train, load_ranker
from train.spec import AverageSpec, OptimizerSpec, RankerSpec

CPU = torch.device("cpu")
ROWS = 6
NAMES = ("averaged", "plain")
SPEC = RankerSpec(
    model=MlpSpec(embedding_dim=4, hidden=(16,), dropout=0.2),
    epochs=3,
    batch_size=128,
    optimizer=OptimizerSpec(embedding="adam"),
    average=AverageSpec(decay=0.95),
)


def _fit(planted: Planted, spec: RankerSpec, out: Path) -> None:
    """Train without a baseline."""
    _train(planted.dataset, Features.of(planted.dataset.schema()), spec, out, seed=1, device=CPU)


touched_by_step = st.lists(st.sets(st.integers(0, ROWS - 1)), min_size=1, max_size=30)


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.line = FusedEmbedding((4, 3), 2), nn.Linear(4, 1)

    def forward(self, ids_BF: Tensor) -> Tensor:
        return self.line(self.table(ids_BF).flatten(1)).squeeze(1)


@given(steps=touched_by_step, look=st.integers(0, 29), decay=st.sampled_from([0.5, 0.9, 0.999]))
def test_lazy_rows_are_the_average_over_all_steps(steps: list[set[int]], look: int, decay: float) -> None:
    generator = torch.Generator().manual_seed(len(steps))
    table, line = (nn.Parameter(torch.randn(ROWS, 2, generator=generator)) for _ in range(2))
    average = Average({"t": table}, {"l": line}, decay)
    expected = [weight.detach().double().clone() for weight in (table, line)]
    for step, rows in enumerate(steps):
        rows_U = torch.tensor(sorted(rows), dtype=torch.int64)
        average.catch_up("t", rows_U)
        with torch.no_grad():
            table[rows_U] += torch.randn(len(rows_U), 2, generator=generator)
            line += 0.1
        average.step({"t": rows_U}, step)
        now = min(decay, (1 + step) / (10 + step))
        expected = [
            now * old + (1 - now) * weight.detach() for old, weight in zip(expected, (table, line), strict=True)
        ]
        if step == look:  # looking at the averages changes nothing of what comes
            average.swap()
            average.swap()
    average.swap()
    for weight, whole in zip((table, line), expected, strict=True):
        torch.testing.assert_close(weight.detach().double(), whole, rtol=1e-5, atol=1e-5)


def test_rows_that_never_move_keep_their_bits() -> None:
    module = _Small()
    before = module.table.weight.detach().clone()
    mover = Mover(module, OptimizerSpec(), steps=20, average=AverageSpec(decay=0.9))
    for step in range(20):
        module(torch.tensor([[1, 2], [3, 0]])).sum().backward()
        mover.step(step)
    with mover.averaged():
        assert torch.equal(module.table.weight[[0, 2, 5]], before[[0, 2, 5]])
        assert not torch.equal(module.table.weight[1], before[1])


def test_outside_of_the_block_the_weights_are_as_they_were() -> None:
    module = _Small()
    mover = Mover(module, OptimizerSpec(), steps=9, average=AverageSpec())
    module(torch.tensor([[1, 2]])).sum().backward()
    mover.step(0)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with mover.averaged():
        assert not torch.equal(module.line.bias, before["line.bias"])
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_without_a_setting_nothing_is_kept() -> None:
    module = _Small()
    mover = Mover(module, OptimizerSpec(), steps=1)
    with mover.averaged():
        assert torch.equal(module.line.bias, _Small().line.bias)
    assert mover.average_state() == {}


@pytest.fixture(scope="module")
def whole(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("averaged")
    _fit(planted, SPEC, out)
    return out


@pytest.mark.parametrize("call", [2, 25, 41])
def test_killed_and_resumed_it_ends_the_same(
    planted: Planted, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    eager = SPEC.model_copy(update={"checkpoint_seconds": 0.0})
    with monkeypatch.context() as patch:
        step, calls = trainer.Mover.step, iter(range(1, 10**6))

        def dying(self: Mover, number: int) -> None:
            if next(calls) == call:
                raise KeyboardInterrupt
            step(self, number)

        patch.setattr(trainer.Mover, "step", dying)
        with pytest.raises(KeyboardInterrupt):
            _fit(planted, eager, tmp_path)
    _fit(planted, eager, tmp_path)
    names = ("model.safetensors", "history.json")
    assert [hash_tree(tmp_path)[name] for name in names] == [hash_tree(whole)[name] for name in names]


def test_what_is_kept_is_the_average_of_what_was_trained(planted: Planted, whole: Path, tmp_path: Path) -> None:
    """One epoch is the same training with and without; the loss on the way is equal, the weights kept are not."""
    one = SPEC.model_copy(update={"epochs": 1})
    for name, spec in zip(NAMES, (one, one.model_copy(update={"average": None})), strict=True):
        _fit(planted, spec, tmp_path / name)
    averaged, plain = (load_ranker(tmp_path / name) for name in NAMES)
    losses = [json.loads((tmp_path / name / "history.json").read_text())["epochs"][0]["train_loss"] for name in NAMES]
    assert losses[0] == losses[1]
    distance = [
        (a - b).abs().max() for a, b in zip(averaged.module.parameters(), plain.module.parameters(), strict=True)
    ]
    assert 0 < max(distance) < 0.2
    assert load_ranker(whole).spec.average == AverageSpec(decay=0.95)
