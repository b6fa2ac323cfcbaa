"""What DIEN's states learn from what was met next."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.contract.rankers import WITH_HISTORY, fresh, rows
from train.batch import Batch
from train.jagged import Jagged
from train.layers.history import Met
from train.losses.auxiliary import with_auxiliary
from train.models.behaviour.dien import DienSpec, next_met

SMALL = DienSpec(embedding_dim=4, hidden=(8,), longest=6)


def cycles(count: int, seed: int) -> Batch:
    """Histories in which item i is followed by i + 1, modulo 20."""
    random = torch.Generator().manual_seed(seed)
    starts = torch.randint(0, 20, (count,), generator=random).tolist()
    met = Jagged.of([[(start + step) % 20 for step in range(5)] for start in starts])
    batch = rows(count, seed)
    return replace(batch, lists={**batch.lists, "history.item": met})


def test_the_loss_is_that_of_telling_the_next_from_another(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of [1, 2, 3] and [4, 5], the pairs are 1-2, 2-3 and 4-5; drawn are 3 (wrong), 3 (the next itself) and 1 (wrong).
    met_JE = torch.tensor([[1.0], [2.0], [3.0], [-4.0], [5.0]])
    state_JE = torch.tensor([[0.1], [0.2], [9.0], [0.4], [9.0]])
    lists = Jagged.of([[1, 2, 3], [], [4, 5]])
    monkeypatch.setattr(torch, "randint", lambda high, size, device: torch.tensor([2, 2, 0]))
    nothing = torch.zeros(3, 0)
    found = next_met(state_JE, Met(nothing, nothing, met_JE, lists))

    def cost(state: float, right: float, wrong: float | None) -> torch.Tensor:
        told = -torch.log(torch.sigmoid(torch.tensor(state * right)))
        return told if wrong is None else told - torch.log(1 - torch.sigmoid(torch.tensor(state * wrong)))

    expected = (cost(0.1, 2.0, 3.0) + cost(0.2, 3.0, None) + cost(0.4, 5.0, 1.0)) / 3
    torch.testing.assert_close(found, expected)


def test_it_is_added_once_in_training_and_never_elsewhere() -> None:
    module, batch, loss = fresh(SMALL, WITH_HISTORY), rows(8), torch.tensor(1.0)
    assert with_auxiliary(loss, module) == 1.0
    module(batch)
    assert with_auxiliary(loss, module) > 1.0
    assert with_auxiliary(loss, module) == 1.0
    module.eval()(batch)
    assert with_auxiliary(loss, module) == 1.0
    without = fresh(SMALL.model_copy(update={"auxiliary": 0.0}), WITH_HISTORY)
    without(batch)
    assert with_auxiliary(loss, without) == 1.0


def test_nobody_met_two_things() -> None:
    module, batch = fresh(SMALL, WITH_HISTORY), rows(3)
    for lists in ([[], [], []], [[1], [], [2]]):
        module(replace(batch, lists={**batch.lists, "history.item": Jagged.of(lists)}))
        assert module.auxiliary() == 0.0


def test_states_learn_what_comes_next() -> None:
    module = fresh(SMALL.model_copy(update={"embedding_dim": 16}), WITH_HISTORY)
    optimizer = torch.optim.SparseAdam([module.inputs.flat.fields.embedding.weight], lr=0.02)
    dense = torch.optim.Adam([weight for name, weight in module.named_parameters() if "table" not in name], lr=0.02)
    torch.manual_seed(0)
    found = []
    for step in range(80):
        module(cycles(100, step))
        loss = module.auxiliary()
        loss.backward()
        for one in (optimizer, dense):
            one.step()
            one.zero_grad()
        found.append(float(loss.detach()))
    assert found[0] > 1.2  # two logloss of guessing are 1.39
    assert sum(found[-5:]) / 5 < 0.4
