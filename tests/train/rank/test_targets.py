"""Rankers of several targets: what is learned of which, and what a row that doesn't tell one changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from core.errors import UserError
from tests.contract.rankers import CPU, FAST, FEATURES, RankerContract, fresh, planted, rows
from train.batch import Batch, Features, Target
from train.determinism import seeded
from train.layers.experts import Experts, Gates
from train.losses.pointwise import BceSpec, FocalSpec, binary_cross_entropy
from train.losses.targets import TargetsLoss, mean_of_known
from train.metrics.classification import auc
from train.models.rank import DlrmSpec, MlpSpec
from train.models.rank.base import RankerModel
from train.models.tasks import TASKS, MmoeSpec, PleSpec
from train.optim.mover import Mover
from train.targets import chosen, weights_of

CLICK, SALE = Target("click"), Target("sale", "__target_sale__")
BOTH = replace(FEATURES, targets=(CLICK, SALE))


def labelled(batch: Batch, sale_B: Tensor) -> Batch:
    """The rows with a second target."""
    assert batch.target_B is not None
    return replace(batch, targets_BT=torch.stack([batch.target_B, sale_B], 1))


def pair(count: int, seed: int = 0) -> Batch:
    """Random rows, the sale unknown of every fourth."""
    sale_B = torch.randint(0, 2, (count,), generator=torch.Generator().manual_seed(seed + 50)).float()
    sale_B[::4] = torch.nan
    return labelled(rows(count, seed), sale_B)


def learn(module: nn.Module, data: Batch, loss: TargetsLoss, *, steps: int, size: int) -> None:
    """Some steps over the rows in order, with the loss of several targets."""
    module.train()
    mover = Mover(module, FAST, steps=steps)
    with seeded(5, CPU):
        for step in range(steps):
            start = step * size % len(data)
            batch = data.rows(start, start + size)
            loss(module(batch), batch).backward()
            mover.step(step)
    module.eval()


class TargetsContract(RankerContract):
    """What holds for every model of several targets, beside what holds for every ranker."""

    @pytest.fixture
    def both(self) -> nn.Module:
        return fresh(self.model, BOTH)

    def test_it_is_in_the_dict_of_its_family(self) -> None:
        assert TASKS[self.model.kind] is type(self.model)
        assert self.model.several

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_one_logit_a_target(self, count: int) -> None:
        targets = (CLICK, SALE, Target("return", "__target_return__"))[:count]
        logits = fresh(self.model, replace(FEATURES, targets=targets))(rows(9))
        assert logits.shape == ((9,) if count == 1 else (9, count))

    def test_gradients_of_both_reach_every_parameter(self, both: nn.Module) -> None:
        batch = pair(64)
        TargetsLoss(BceSpec(), BOTH.targets, (1.0, 1.0))(both(batch), batch).backward()
        for name, weight in both.named_parameters():
            gradient = weight.grad.to_dense() if weight.grad.is_sparse else weight.grad
            assert gradient.isfinite().all(), name
            assert gradient.abs().sum() > 0, name

    def test_a_row_does_not_see_its_batch_in_any_target(self, both: nn.Module) -> None:
        both.eval()
        batch = pair(50)
        with torch.inference_mode():
            alone = torch.cat([both(batch.rows(row, row + 1)) for row in range(50)])
            torch.testing.assert_close(alone, both(batch), rtol=1e-5, atol=1e-6)

    def test_a_target_that_is_not_known_gives_no_gradient(self, both: nn.Module) -> None:
        batch = pair(40)
        logits = both(batch).detach().requires_grad_()
        TargetsLoss(FocalSpec(), BOTH.targets, (1.0, 5.0))(logits, batch).backward()
        unknown_B = batch.targets_BT[:, 1].isnan()
        assert unknown_B.any()
        assert (logits.grad[unknown_B, 1] == 0).all()
        assert (logits.grad[~unknown_B, 1] != 0).all()
        assert (logits.grad[:, 0] != 0).all()

    def test_weight_0_switches_a_target_off_to_the_bit(self) -> None:
        batch, off = pair(96), TargetsLoss(BceSpec(), BOTH.targets, (1.0, 0.0))
        other = labelled(batch, 1.0 - batch.targets_BT[:, 1])
        weights = []
        for data in (batch, other):
            module = fresh(self.model, BOTH)
            before = {name: value.clone() for name, value in module.towers.each[1].state_dict().items()}
            learn(module, data, off, steps=6, size=32)
            assert all(torch.equal(before[name], value) for name, value in module.towers.each[1].state_dict().items())
            weights.append(module.state_dict())
        assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())

    def test_it_ranks_both_of_two_planted_targets(self, both: nn.Module) -> None:
        truth, held_out = two_planted(3000, seed=1), two_planted(1000, seed=2)
        learn(both, truth, TargetsLoss(BceSpec(), BOTH.targets, (1.0, 1.0)), steps=120, size=200)
        with torch.inference_mode():
            logit_BT = both(held_out)
        for place in range(2):
            known = ~held_out.targets_BT[:, place].isnan()
            assert auc(logit_BT[known, place], held_out.targets_BT[known, place]) > self.planted_auc

    def test_a_target_of_few_rows_learns_from_the_other(self, both: nn.Module) -> None:
        """Sales are known of 300 rows, clicks of 3000, and the same product of vectors decides both."""
        truth, held_out = planted(3000, seed=3), planted(2000, seed=103)
        few = torch.arange(3000) % 10 == 0
        data = labelled(truth, torch.where(few, _sale(truth, 3), torch.nan))
        learn(both, data, TargetsLoss(BceSpec(), BOTH.targets, (1.0, 1.0)), steps=150, size=200)
        alone = replace(data, target_B=data.targets_BT[:, 1], targets_BT=None).pick(few.nonzero().squeeze(1))
        label_B, found = _sale(held_out, 103), []
        for steps in (15, 45):  # before and after it has learned its rows by heart
            single = fresh(self.model, FEATURES)
            learn(single, alone, TargetsLoss(BceSpec(), (CLICK,), (1.0,)), steps=steps, size=100)
            with torch.inference_mode():
                found.append(auc(single(held_out), label_B))
        with torch.inference_mode():
            assert auc(both(held_out)[:, 1], label_B) > max(found) + 0.03

    def test_the_exported_graph_gives_every_target(self) -> None:
        module, batch, other = fresh(self.model, replace(BOTH, lists=())).eval(), rows(7), rows(31)
        size = torch.export.Dim("rows", min=1)
        given = (batch.ids_BF, batch.dense_BD)
        graph = torch.export.export(Unlisted(module), given, dynamic_shapes=({0: size}, {0: size})).module()
        with torch.inference_mode():
            torch.testing.assert_close(graph(other.ids_BF, other.dense_BD), module(other), rtol=1e-6, atol=1e-6)


class Unlisted(nn.Module):
    """A ranker that takes tensors, as an exported graph does."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, ids_BF: Tensor, dense_BD: Tensor) -> Tensor:
        logits: Tensor = self.module(Batch(ids_BF, dense_BD))
        return logits


class TestMmoe(TargetsContract):
    model = MmoeSpec(embedding_dim=8, experts=4, expert_hidden=(16,), tower_hidden=(8,))


class TestDeepMmoe(TargetsContract):
    model = MmoeSpec(embedding_dim=8, experts=3, expert_hidden=(32, 16), tower_hidden=(), numbers="embedded")


class TestPle(TargetsContract):
    model = PleSpec(embedding_dim=8, expert_hidden=(24,), tower_hidden=(8,))


class TestDeepPle(TargetsContract):
    model = PleSpec(embedding_dim=8, levels=3, expert_hidden=(12,), tower_hidden=(8,))


def two_planted(count: int, seed: int) -> Batch:
    """Planted clicks, and sales that the same product of vectors decides, known of every second row."""
    batch = planted(count, seed)
    sale_B = _sale(batch, seed)
    sale_B[::2] = torch.nan
    return labelled(batch, sale_B)


def _sale(batch: Batch, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(100)
    user, item = (torch.randn(size, 2, generator=random) for size in FEATURES.cardinalities[:2])
    product_B = (user[batch.ids_BF[:, 0].long()] * item[batch.ids_BF[:, 1].long()]).sum(1)
    logit_B = 2.0 * product_B - batch.dense_BD[:, 1] - 1.0
    noise_B = torch.rand(len(batch), generator=torch.Generator().manual_seed(seed + 2000))
    return (noise_B < logit_B.sigmoid()).float()


def test_the_mean_of_known_rows_is_that_of_the_rows_alone() -> None:
    logit, target = torch.randn(9), torch.tensor([0.0, 1.0, torch.nan] * 3)
    known = ~target.isnan()
    for loss in (BceSpec(), BceSpec(positive_weight=3.0, label_smoothing=0.1), FocalSpec()):
        wanted = loss.mean(logit[known], target[known])
        torch.testing.assert_close(mean_of_known(loss, logit, target), wanted)
    assert mean_of_known(BceSpec(), logit, torch.full((9,), torch.nan)) == 0


def test_weights_weigh_the_means_of_the_targets() -> None:
    batch = pair(40)
    logit_BT = torch.randn(40, 2)
    known = ~batch.targets_BT[:, 1].isnan()
    click = binary_cross_entropy(logit_BT[:, 0], batch.target_B)
    sale = binary_cross_entropy(logit_BT[known, 1], batch.targets_BT[known, 1])
    found = TargetsLoss(BceSpec(), BOTH.targets, (2.0, 5.0))(logit_BT, batch)
    torch.testing.assert_close(found, 2.0 * click + 5.0 * sale)


@pytest.mark.parametrize("model", [MlpSpec(), DlrmSpec()])
def test_another_model_learns_one_target(model: RankerModel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "gyrfalcon.train"):
        assert chosen(BOTH, model, None).targets == (CLICK,)
        assert chosen(BOTH, model, "sale").targets == (SALE,)
    assert f"{model.kind} learns one target, sale, and nothing of click" in caplog.text
    with pytest.raises(UserError, match="learns one target, so there is nothing to weigh"):
        weights_of(chosen(BOTH, model, None), model, {"sale": 2.0})


def test_the_one_that_decides_comes_first() -> None:
    features = chosen(BOTH, MmoeSpec(), "sale")
    assert features.targets == (SALE, CLICK)
    assert weights_of(features, MmoeSpec(), {"click": 3.0}) == (1.0, 3.0)


def test_names_that_are_not_known() -> None:
    with pytest.raises(UserError, match="no target sales.*did you mean sale"):
        chosen(BOTH, MmoeSpec(), "sales")
    with pytest.raises(UserError, match="no target buy"):
        weights_of(BOTH, MmoeSpec(), {"buy": 1.0})
    with pytest.raises(UserError, match="click decides which epoch is kept and counts nothing"):
        weights_of(BOTH, MmoeSpec(), {"click": 0.0})


def test_experts_are_networks_of_their_own() -> None:
    experts, x_BI = Experts(5, (7, 4), count=3), torch.randn(6, 5)
    found = experts(x_BI)
    (later,) = experts.later
    for number in range(3):
        part = slice(7 * number, 7 * number + 7)
        hidden = (x_BI @ experts.first.weight[part].T + experts.first.bias[part]).relu()
        wanted = (hidden @ later.weight_XIO[number] + later.bias_X1O[number]).relu()
        torch.testing.assert_close(found[:, number], wanted)


def test_a_gate_shares_out_the_whole() -> None:
    gates = Gates(4, experts=3, mixtures=2)
    share = gates(torch.randn(5, 4), torch.eye(3).expand(5, 3, 3))
    torch.testing.assert_close(share.sum(2), torch.ones(5, 2))
    assert not torch.equal(share[:, 0], share[:, 1])


def test_batches_keep_the_targets_with_their_rows() -> None:
    batch = pair(10)
    order = torch.tensor([7, 2, 2])
    for found, wanted in (
        (batch.pick(order).targets_BT, batch.targets_BT[order]),
        (batch.rows(2, 5).targets_BT, batch.targets_BT[2:5]),
        (Batch.join([batch, batch]).targets_BT, torch.cat([batch.targets_BT] * 2)),
    ):
        torch.testing.assert_close(found, wanted, equal_nan=True)
    assert Features((), (), ()).targets == (Target(),)
