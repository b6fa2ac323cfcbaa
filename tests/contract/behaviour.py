"""The laws of rankers that attend to what a user met, beside those of every ranker:

class TestDin(BehaviourContract):
    model = DinSpec(embedding_dim=4, hidden=(8,))
"""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch
from onnxruntime import InferenceSession
from torch import Tensor, nn

from core.errors import UserError
from serve.network import DataFile, input_names, network_model
from tests.contract.rankers import FEATURES, WITH_HISTORY, RankerContract, fresh, plain, rows, train
from train.batch import Batch, Features, ListFeature
from train.jagged import Jagged
from train.losses.pointwise import binary_cross_entropy
from train.metrics.classification import auc

MET, HOUR = "history.item", "history.hour"
WITH_HOURS = replace(WITH_HISTORY, lists=(*WITH_HISTORY.lists, ListFeature(HOUR, 4, of="hour")))
CLUBS, ITEMS = 4, 40
PLANTED = Features(("item",), (ITEMS,), (), (ListFeature(MET, ITEMS, of="item"),), item_id="item")


class BehaviourContract(RankerContract):
    """What holds for every ranker that needs histories.

    Attributes:
        ordered: Whether it makes a difference in which order things were met.
        longest: Elements of a history that the model reads; None: all.
    """

    features = WITH_HISTORY
    ordered: bool
    longest: int | None

    def test_it_takes_either_kind_of_feature_alone(self) -> None:
        batch = rows(16)
        ids = replace(batch, dense_BD=batch.dense_BD[:, :0])
        module = fresh(self.model, replace(WITH_HISTORY, continuous=()))
        binary_cross_entropy(module(ids), ids.target_B).backward()
        assert all(weight.grad is not None for weight in module.parameters())
        item = replace(ids, ids_BF=batch.ids_BF[:, 1:2])
        alone = fresh(self.model, Features(("item",), (20,), (), WITH_HISTORY.history))
        assert alone(item).shape == (16,)

    def test_without_a_history_it_says_what_to_do(self) -> None:
        told = f"{self.model.kind} attends to what a user met.*train.ranker.history"
        with pytest.raises(UserError, match=told):
            self.model.build(FEATURES)

    def test_neither_histories_of_others_nor_their_length_count(self, module: nn.Module) -> None:
        module.eval()
        batch, long = rows(20), rows(3, seed=8)
        long = replace(long, lists={**long.lists, MET: Jagged.of([list(range(20)) * 4, [], [3]])})
        with torch.inference_mode():
            alone = module(batch)
            beside = module(Batch.join([long, batch, long]))
        torch.testing.assert_close(beside[3:23], alone, rtol=1e-5, atol=1e-6)

    def test_empty_histories_are_finite(self, module: nn.Module) -> None:
        batch = rows(20)
        nobody = with_met(batch, Jagged.of([[]] * 20))
        for given in (nobody, nobody.rows(0, 1), with_met(batch, Jagged.of([[]] * 19 + [[3]]))):
            module.train()
            binary_cross_entropy(module(given), given.target_B).backward()
            assert all(weight.grad is None or weight.grad.isfinite().all() for weight in dense(module))
            with torch.inference_mode():
                assert module.eval()(given).isfinite().all()

    def test_order_counts_where_it_should(self, module: nn.Module) -> None:
        train(module, rows(64), steps=20, batch_size=32)
        batch = rows(20)
        met = batch.lists[MET]
        turned = torch.cat([met.rows(row, row + 1).values_J.flip(0) for row in range(20)])
        changes = torch.tensor([len(set(met.rows(row, row + 1).values_J.tolist())) > 1 for row in range(20)])
        with torch.inference_mode():
            difference_B = (module(with_met(batch, met.replaced(turned))) - module(batch)).abs()
        assert changes.sum() > 5
        assert difference_B[~changes].max() < 1e-5
        assert (difference_B[changes].min() > 1e-6) == self.ordered
        assert self.ordered or difference_B.max() < 1e-5

    def test_only_the_newest_are_read(self, module: nn.Module) -> None:
        module.eval()
        length = self.longest or 30
        recent = [(3 * place) % 20 for place in range(length)]
        batch = rows(2)
        with torch.inference_mode():
            longer_B = module(with_met(batch, Jagged.of([[7] * 9 + recent, recent])))
            exact_B = module(with_met(batch, Jagged.of([recent, recent])))
        assert torch.allclose(longer_B, exact_B, atol=1e-6) == (self.longest is not None)

    def test_it_learns_what_only_history_and_candidate_tell_together(self) -> None:
        module = fresh(self.model, PLANTED)
        train(module, planted(3000, seed=1), steps=300, batch_size=250)
        held_out = planted(1000, seed=2)
        met = held_out.lists[MET].pick(torch.randperm(1000, generator=torch.Generator().manual_seed(7)))
        with torch.inference_mode():
            assert auc(module(held_out), held_out.target_B) > 0.8
            assert auc(module(with_met(held_out, met)), held_out.target_B) < 0.6

    def test_features_of_what_was_met_go_together(self) -> None:
        # The hour of what was met, read with the table of hours, beside its item.
        module, batch = fresh(self.model, WITH_HOURS).eval(), rows(20)
        met = batch.lists[MET]
        with torch.inference_mode():
            one, other = (module(with_met(batch, met, shift)) for shift in (0, 1))
        some = met.sizes > 0
        assert (one[some] != other[some]).all()
        assert torch.equal(one[~some], other[~some])

    def test_onnx_gives_what_torch_gives(self) -> None:
        # Histories of nothing, of one, of the longest and of more, none of which the exporter has seen.
        module, longest = fresh(self.model, WITH_HOURS).eval(), self.longest or 30
        every = [(7 * place) % 20 for place in range(longest + 5)]
        batch = with_met(rows(5), Jagged.of([[], [3], every[:longest], every, [4, 4]]))
        nobody = with_met(batch, Jagged.of([[]] * 5))
        found, found_of_nobody = in_onnx(module, WITH_HOURS, batch, nobody)
        with torch.inference_mode():
            torch.testing.assert_close(found, module(batch), rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(found_of_nobody, module(nobody), rtol=1e-5, atol=1e-6)


def in_onnx(module: nn.Module, features: Features, *batches: Batch) -> list[Tensor]:
    """Logits by ONNX Runtime."""
    data = DataFile(io.BytesIO(), "weights")
    model = network_model(module, features, data, output="logit", sigmoid=False)
    written = model.SerializeToString()
    assert b".py" not in written, "the graph names a source file"
    session = InferenceSession(written)
    taken = {one.name for one in session.get_inputs()}
    found = []
    for batch in batches:
        tensors = plain(batch, tuple(one.name for one in features.lists))
        feed = zip(input_names(features), tensors, strict=True)
        wide = {name: tensor if tensor.is_floating_point() else tensor.long() for name, tensor in feed}
        (logit_B,) = session.run(None, {name: tensor.numpy() for name, tensor in wide.items() if name in taken})
        found.append(torch.from_numpy(logit_B))
    return found


def with_met(batch: Batch, met: Jagged, shift: int = 0) -> Batch:
    """The same rows with other histories, and an hour for everything in them."""
    hours = met.replaced((met.values_J + shift) % 4)
    return replace(batch, lists={**batch.lists, MET: met, HOUR: hours})


def dense(module: nn.Module) -> list[nn.Parameter]:
    """Weights that have no sparse gradient."""
    return [weight for weight in module.parameters() if weight.grad is None or not weight.grad.is_sparse]


def planted(count: int, seed: int) -> Batch:
    """Rows of clubs: most of what a user met is of one club, and the target is whether the candidate is of it too.

    Neither the candidate alone nor the history alone says anything.
    """
    random = torch.Generator().manual_seed(seed)
    club_B = torch.randint(0, CLUBS, (count,), generator=random)
    own_B = torch.rand(count, generator=random) < 0.5
    other_B = (club_B + torch.randint(1, CLUBS, (count,), generator=random)) % CLUBS
    candidate_B = of_club(torch.where(own_B, club_B, other_B), random)
    size_B = torch.randint(2, 7, (count,), generator=random)
    owner_J = torch.arange(count).repeat_interleave(size_B)
    stray_J = torch.rand(len(owner_J), generator=random) < 0.1
    club_J = torch.where(stray_J, torch.randint(0, CLUBS, (len(owner_J),), generator=random), club_B[owner_J])
    offsets_B1 = torch.cat([torch.zeros(1, dtype=torch.int64), size_B.cumsum(0)])
    met = Jagged(of_club(club_J, random), offsets_B1)
    return Batch(candidate_B.unsqueeze(1), torch.zeros(count, 0), own_B.float(), lists={MET: met})


def of_club(club_N: Tensor, random: torch.Generator) -> Tensor:
    """An item of each club."""
    return club_N + CLUBS * torch.randint(0, ITEMS // CLUBS, club_N.shape, generator=random)
