"""Sparse optimizers against dense ones, and what moves a whole module."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from train.layers.embedding import FusedEmbedding
from train.optim.mover import Mover
from train.optim.schedule import factor
from train.optim.sparse import EMBEDDING_OPTIMIZERS, RowGradient
from train.spec import OptimizerSpec

ROWS, WIDTH = 7, 3
batches_of_ids = st.lists(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=12), min_size=1, max_size=4)


def _gradients(weight_RE: Tensor, ids: list[int], seed: int) -> tuple[Tensor, Tensor]:
    """The sparse gradient of a loss that looks up ids with repetitions, and the same as a dense tensor."""
    values_NE = torch.randn(len(ids), WIDTH, generator=torch.Generator().manual_seed(seed))
    index = torch.tensor([ids])
    sparse = torch.sparse_coo_tensor(index, values_NE, weight_RE.shape, check_invariants=True)
    return sparse, torch.zeros_like(weight_RE).index_add_(0, index[0], values_NE)


def _reference(kind: str, weight: Tensor, dense: Tensor, memory: dict[str, Tensor], rate: float, step: int) -> None:
    """One dense step over all rows, straight from the equations; rows without a gradient stay."""
    touched = dense.abs().sum(1, keepdim=True) > 0
    if kind == "sgd":
        weight -= rate * dense
    elif kind == "rowwise_adagrad":
        memory["a"] = memory.get("a", torch.zeros(ROWS, 1)) + dense.pow(2).mean(1, keepdim=True)
        weight -= rate * dense / (memory["a"].sqrt() + 1e-8)
    elif kind == "adagrad":
        memory["a"] = memory.get("a", torch.zeros_like(weight)) + dense.pow(2)
        weight -= rate * dense / (memory["a"].sqrt() + 1e-10)
    else:
        m, v = memory.get("m", torch.zeros_like(weight)), memory.get("v", torch.zeros_like(weight))
        memory["m"] = torch.where(touched, 0.9 * m + 0.1 * dense, m)
        square = dense.pow(2) if kind == "adam" else dense.pow(2).mean(1, keepdim=True).expand_as(dense)
        memory["v"] = torch.where(touched, 0.999 * v + 0.001 * square, v)
        size = rate * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
        weight -= torch.where(touched, size * memory["m"] / (memory["v"].sqrt() + 1e-8), torch.zeros(1))


@pytest.mark.parametrize("kind", sorted(EMBEDDING_OPTIMIZERS))
@given(batches=batches_of_ids)
def test_sparse_steps_are_dense_steps(kind: str, batches: list[list[int]]) -> None:
    weight_RE = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(9))
    expected_RE, memory = weight_RE.clone(), {}
    optimizer = EMBEDDING_OPTIMIZERS[kind]()
    state = optimizer.fresh(weight_RE)
    for step, ids in enumerate(batches, start=1):
        sparse, dense = _gradients(weight_RE, ids, seed=step)
        optimizer.update(weight_RE, state, RowGradient.of(sparse), rate=0.1, step=step)
        _reference(kind, expected_RE, dense, memory, 0.1, step)
    torch.testing.assert_close(weight_RE, expected_RE, rtol=1e-5, atol=1e-6)


def test_adam_is_torch_sparse_adam() -> None:
    ours, theirs = torch.randn(ROWS, WIDTH), nn.Parameter(torch.empty(ROWS, WIDTH))
    theirs.data.copy_(ours)
    reference = torch.optim.SparseAdam([theirs], lr=0.05)
    adam = EMBEDDING_OPTIMIZERS["adam"]()
    state = adam.fresh(ours)
    for step in range(1, 6):
        sparse, _ = _gradients(ours, [step, 0, step, 2], seed=step)
        theirs.grad = sparse.clone()
        reference.step()
        adam.update(ours, state, RowGradient.of(sparse), rate=0.05, step=step)
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_adagrad_is_torch_adagrad_over_all_rows() -> None:
    ours, theirs = torch.randn(ROWS, WIDTH), nn.Parameter(torch.empty(ROWS, WIDTH))
    theirs.data.copy_(ours)
    reference = torch.optim.Adagrad([theirs], lr=0.05)
    adagrad = EMBEDDING_OPTIMIZERS["adagrad"]()
    state = adagrad.fresh(ours)
    for step in range(1, 6):
        sparse, theirs.grad = _gradients(ours, [step, 0, step, 2], seed=step)
        reference.step()
        adagrad.update(ours, state, RowGradient.of(sparse), rate=0.05, step=step)
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_rowwise_adam_keeps_one_second_moment_a_row() -> None:
    sizes = {
        kind: _numbers(EMBEDDING_OPTIMIZERS[kind]().fresh(torch.zeros(ROWS, WIDTH)))
        for kind in ("adam", "rowwise_adam")
    }
    assert sizes == {"adam": 2 * ROWS * WIDTH, "rowwise_adam": ROWS * WIDTH + ROWS}


def _numbers(state: dict[str, Tensor]) -> int:
    return sum(value.numel() for value in state.values())


def test_untouched_rows_keep_their_bits() -> None:
    for optimizer in (kind() for kind in EMBEDDING_OPTIMIZERS.values()):
        weight_RE = torch.randn(ROWS, WIDTH)
        before = weight_RE.clone()
        sparse, _ = _gradients(weight_RE, [1, 4, 1], seed=0)
        optimizer.update(weight_RE, optimizer.fresh(weight_RE), RowGradient.of(sparse), rate=0.1, step=1)
        rest = [row for row in range(ROWS) if row not in {1, 4}]
        assert torch.equal(weight_RE[rest], before[rest])
        assert not torch.equal(weight_RE[1], before[1])


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.line = FusedEmbedding((4, 3), 2), nn.Linear(4, 1)

    def forward(self, ids_BF: Tensor) -> Tensor:
        return self.line(self.table(ids_BF).flatten(1)).squeeze(1)


IDS = torch.tensor([[1, 2], [1, 0], [3, 2]])


def _step(module: _Small, mover: Mover, number: int) -> None:
    (module(IDS) * torch.tensor([1.0, -2.0, 30.0])).sum().backward()
    mover.step(number)


@pytest.mark.parametrize("kind", sorted(EMBEDDING_OPTIMIZERS))
def test_the_memory_goes_on_where_it_stopped(kind: str) -> None:
    spec = OptimizerSpec(embedding=kind, weight_decay=0.1, clip_norm=1.0, warmup_steps=2, schedule="cosine")
    through, first, second = _Small(), _Small(), _Small()
    mover, half, rest = (Mover(module, spec, steps=6) for module in (through, first, second))
    for number in range(6):
        _step(through, mover, number)
    for number in range(3):
        _step(first, half, number)
    second.load_state_dict(first.state_dict())
    rest.load({name: value.clone() for name, value in half.state().items()})
    for number in range(3, 6):
        _step(second, rest, number)
    for name, value in through.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


def test_clipping_limits_the_norm_of_all_gradients_together() -> None:
    module = _Small()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    (module(IDS) * 1000.0).sum().backward()
    gradients = {name: weight.grad.to_dense() for name, weight in module.named_parameters()}
    norm = torch.cat([one.flatten() for one in gradients.values()]).norm()
    Mover(module, OptimizerSpec(embedding="sgd", embedding_rate=1.0, clip_norm=2.0), steps=1).step(0)
    moved = before["table.table.weight"] - module.table.weight
    torch.testing.assert_close(moved, gradients["table.table.weight"] * (2.0 / norm), rtol=1e-4, atol=1e-6)


def test_decay_pulls_touched_rows_alone() -> None:
    module = _Small()
    before = module.table.weight.detach().clone()
    (module(IDS) * 0.0).sum().backward()
    Mover(module, OptimizerSpec(embedding="sgd", embedding_rate=0.5, embedding_decay=0.1), steps=1).step(0)
    touched = [1, 3, 4, 6]
    torch.testing.assert_close(module.table.weight[touched], before[touched] * (1 - 0.05))
    assert torch.equal(module.table.weight[[0, 2, 5]], before[[0, 2, 5]])


def test_every_weight_has_one_optimizer() -> None:
    module = _Small()
    mover = Mover(module, OptimizerSpec(), steps=1)
    _step(module, mover, 0)
    assert {key.split(":")[0] for key in mover.state()} == {name for name, _ in module.named_parameters()}


@given(step=st.integers(0, 200), warmup=st.integers(0, 50), total=st.integers(1, 100))
def test_rates_stay_between_nothing_and_all(step: int, warmup: int, total: int) -> None:
    for shape in ("constant", "linear", "cosine"):
        assert 0.0 <= factor(step, warmup=warmup, total=total, shape=shape) <= 1.0
    if step + 1 >= warmup:
        assert factor(step, warmup=warmup, total=total, shape="constant") == 1.0


def test_the_line_ends_one_step_after_the_last() -> None:
    rates = [factor(step, warmup=0, total=4, shape="linear") for step in range(6)]
    assert rates == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
