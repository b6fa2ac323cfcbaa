"""What every next-item model must hold. A new one gets all of it by one line:

class TestSasRec(NextItemContract, model=SasRecSpec()): ...
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from onnxruntime import InferenceSession
from torch import Tensor

from core.errors import UserError
from serve.network import DataFile, input_names, network_model
from train.batch import Batch, Features, ListFeature
from train.determinism import deterministic
from train.histories import HISTORY, Histories
from train.jagged import Jagged
from train.models import RETRIEVERS
from train.models.next_item.base import NextItemModel, NextItemTowers
from train.models.retrieve.base import Facts, Sizes
from train.optim.mover import Mover
from train.pairs import ENTITY, Interactions, Tables
from train.spec import OptimizerSpec

ITEMS, USERS, LONGEST = 12, 240, 6
NONE = Features((), (), ())


def cycle() -> Interactions:
    """Item i is followed by i + 1, the last one by the first; the rows of the file are in no order."""
    draw = torch.Generator().manual_seed(0)
    rows = []
    for user in range(USERS):
        first, size = torch.randint(ITEMS, (2,), generator=draw).tolist()
        rows += [(user, (first + step) % ITEMS, step) for step in range(size % 9 + 2)]
    user_P, item_P, time_P = torch.tensor(rows)[torch.randperm(len(rows), generator=draw)].unbind(1)
    every = torch.ones(len(rows), dtype=torch.bool)
    return Interactions(user_P, item_P, every, torch.zeros_like(user_P), time_P, users=USERS, items=ITEMS)


def bare(rows: int) -> Batch:
    """Entities without features."""
    nothing = torch.empty(rows, 0)
    return Batch(nothing.long(), nothing, extra={ENTITY: torch.arange(rows)})


def facts_of(interactions: Interactions) -> Facts:
    """What is learned from."""
    tables = Tables(bare(interactions.users), bare(interactions.items))
    return Facts(interactions.pairs("train"), Histories.of(interactions), tables)


def queries(*lists: list[int]) -> Batch:
    """Users with these histories."""
    return Batch(torch.empty(len(lists), 0).long(), torch.empty(len(lists), 0), lists={HISTORY: Jagged.of(lists)})


class NextItemContract:
    """Inherited by one test class a model; its sizes should be small."""

    model: ClassVar[NextItemModel]
    causal: ClassVar[bool]
    epochs: ClassVar[int] = 5

    def __init_subclass__(cls, *, model: NextItemModel, causal: bool = True) -> None:
        cls.model, cls.causal = model.model_copy(update={"longest": LONGEST}), causal

    def fresh(self, **settings: object) -> NextItemTowers:
        """Towers with drawn weights, none of them at a start where two models agree."""
        model = type(self.model).model_validate({**self.model.model_dump(), **settings})
        torch.manual_seed(3)
        towers = model.build(Sizes(NONE, NONE, users=USERS, items=ITEMS))
        assert isinstance(towers, NextItemTowers)
        with torch.no_grad():
            for weight in towers.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
        return towers

    def trained(self) -> NextItemTowers:
        """Towers that have seen the cycle."""
        facts = facts_of(cycle())
        torch.manual_seed(0)
        towers = self.model.build(Sizes(NONE, NONE, users=USERS, items=ITEMS)).train()
        assert isinstance(towers, NextItemTowers)
        loss, batches = self.model.objective(towers, facts), self.model.batches(facts, batch_size=16, seed=0)
        mover = Mover(towers, OptimizerSpec(rate=0.01), steps=self.epochs * batches.steps)
        with deterministic():
            for epoch in range(self.epochs):
                for step, batch in enumerate(batches.epoch(epoch), start=epoch * batches.steps):
                    loss(batch).backward()
                    mover.step(step)
        return towers.eval()

    @staticmethod
    @torch.no_grad()
    def scores(towers: NextItemTowers, batch: Batch) -> Tensor:
        """Of every item for every query."""
        found: Tensor = towers.query(batch) @ towers.item(bare(ITEMS)).T
        return found

    def test_it_has_a_name(self) -> None:
        assert RETRIEVERS[self.model.kind] is type(self.model)
        assert type(self.model).model_validate(self.model.model_dump()) == self.model

    def test_a_planted_cycle_is_found(self) -> None:
        lists = [[(first + step) % ITEMS for step in range(size)] for first in range(ITEMS) for size in (1, 2, 5, 8)]
        wanted = torch.tensor([(one[-1] + 1) % ITEMS for one in lists])
        assert (self.scores(self.trained(), queries(*lists)).argmax(dim=1) == wanted).float().mean() > 0.95

    def test_no_state_sees_what_comes_later(self) -> None:
        if not self.causal:
            pytest.skip("it fills gaps, and sees both sides of them")
        encoder = self.fresh().eval().query
        before, after = Jagged.of([[1, 2, 3, 4, 5], [7, 8]]), Jagged.of([[1, 2, 3, 9, 0], [7, 6]])
        with torch.inference_mode():
            old_JE, new_JE = encoder.states(before), encoder.states(after)
        same = torch.tensor([True, True, True, False, False, True, False])
        assert torch.equal(old_JE[same], new_JE[same])
        assert (old_JE[~same] != new_JE[~same]).any(dim=1).all()

    def test_no_prediction_sees_its_own_item(self) -> None:
        # In a list of two, one item is told from the other, whichever it is: with the own item changed it's the same.
        encoder = self.fresh().eval().query
        for seed in range(8):
            torch.manual_seed(seed)
            state_QE, own_Q = encoder.predictions(Jagged.of([[4, 5]]))
            if len(own_Q) > 1:
                continue
            other = [10, 5] if own_Q.item() == 4 else [4, 10]
            torch.manual_seed(seed)
            changed_QE, changed_Q = encoder.predictions(Jagged.of([other]))
            assert changed_Q.item() == 10
            assert torch.equal(state_QE, changed_QE)

    def test_a_query_is_its_own_whatever_lies_beside_it(self) -> None:
        towers, lists = self.fresh().eval(), [[1, 2], [3], [], [9, 8, 7, 6, 5, 4]]
        together = self.scores(towers, queries(*lists))
        alone = torch.cat([self.scores(towers, queries(one)) for one in lists])
        assert torch.allclose(together, alone, atol=1e-6)

    def test_what_is_older_than_the_longest_is_not_read(self) -> None:
        towers = self.fresh().eval()
        newest = [5, 1, 4, 2, 3, 0]
        assert len(newest) == LONGEST
        assert torch.equal(*(self.scores(towers, queries(one)) for one in (newest, [9, 9, 8, *newest])))

    def test_each_next_item_is_a_target_once(self) -> None:
        if not self.causal:
            pytest.skip("its targets are drawn")
        interactions = cycle()
        batches = self.model.batches(facts_of(interactions), batch_size=7, seed=0)
        encoder = self.fresh().query
        own = torch.cat([encoder.predictions(batch.lists[HISTORY])[1] for batch in batches.epoch(0)])
        lists = Histories.of(interactions).at("valid")
        assert int(lists.sizes.max()) > LONGEST + 1
        later_J = lists.places() > 0
        assert torch.equal(own.sort().values, lists.values_J[later_J].sort().values)

    def test_nobody_is_served_too(self) -> None:
        for bias in (False, True):
            towers = self.fresh(bias=bias).eval()
            none_BI = self.scores(towers, queries([], []))
            assert none_BI.isfinite().all()
            assert torch.allclose(none_BI[0], none_BI[1], atol=1e-6)
        assert none_BI[0].unique().numel() > 1  # the biases rank

    @pytest.mark.parametrize("settings", [{}, {"bias": True}, {"smoothing": 0.1}, {"negatives": 5, "bias": True}])
    def test_every_weight_learns(self, settings: dict[str, object]) -> None:
        towers, facts = self.fresh(**settings), facts_of(cycle())
        model = type(self.model).model_validate({**self.model.model_dump(), **settings})
        torch.manual_seed(0)
        total = torch.zeros(())
        for batch in model.batches(facts, batch_size=32, seed=0).epoch(0):
            total = total + model.objective(towers, facts)(batch)
        total.backward()
        assert total.isfinite()
        for name, weight in towers.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.abs().sum() > 0, name

    def test_vectors_score_as_the_loss_does(self) -> None:
        # The loss of one prediction is the cross-entropy of the scores that rank.
        for settings in ({}, {"bias": True}):
            towers = self.fresh(**settings).eval()
            history, wanted = [1, 2, 3], 7
            with torch.no_grad():
                state_BE = towers.query.final(Jagged.of([history]))
                vector_BV = towers.query(queries(history))
            assert torch.equal(vector_BV[:, : state_BE.shape[1]], state_BE)
            score_BI = self.scores(towers, queries(history))
            items = towers.query.items
            bias_I = torch.zeros(ITEMS) if items.bias_I is None else items.bias_I
            own_B = (state_BE * items.table.weight[wanted]).sum(dim=1) + bias_I[wanted]
            assert torch.allclose(score_BI[:, wanted], own_B, atol=1e-6)

    def test_the_table_of_items_is_one_weight(self) -> None:
        towers = self.fresh()
        assert not list(towers.item.parameters())
        state = towers.state_dict()
        assert len({value.data_ptr() for value in state.values()}) == len(state)
        towers.load_state_dict({name: value + 1.0 for name, value in state.items()})
        assert torch.equal(towers.item(bare(ITEMS))[:, : towers.query.items.width], towers.query.items.table.weight)

    def test_the_exported_query_is_the_same(self) -> None:
        # Histories of no item, of one, of the longest and of more, none of which the exporter has seen.
        towers = self.fresh(bias=True).eval()
        lists = [[], [3], [5, 1, 4, 2, 3, 0], [9, 9, 8, 5, 1, 4, 2, 3, 0], [7, 8]]
        features = replace(NONE, lists=(ListFeature(HISTORY, ITEMS),))
        model = network_model(towers.query, features, DataFile(io.BytesIO(), "weights"), output="vector", sigmoid=False)
        asked = queries(*lists)
        history = asked.lists[HISTORY]
        tensors = (asked.ids_BF, asked.dense_BD, history.values_J, history.offsets_B1)
        feed = {name: tensor.numpy() for name, tensor in zip(input_names(features), tensors, strict=True)}
        session = InferenceSession(model.SerializeToString())
        taken = {one.name for one in session.get_inputs()}
        (found_BV,) = session.run(None, {name: value for name, value in feed.items() if name in taken})
        with torch.no_grad():
            assert torch.allclose(torch.from_numpy(found_BV), towers.query(asked), atol=1e-5)

    def test_histories_of_one_item_are_told(self) -> None:
        one = torch.arange(3)
        every = torch.ones(3, dtype=torch.bool)
        lonely = Interactions(one, one, every, torch.zeros_like(one), torch.zeros_like(one), users=USERS, items=ITEMS)
        with pytest.raises(UserError, match="no user has two"):
            self.model.batches(facts_of(lonely), batch_size=4, seed=0)
