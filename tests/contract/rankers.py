"""The laws that every ranker inherits by one line:

class TestDlrm(RankerContract):
    model = DlrmSpec(embedding_dim=4, bottom=(8,), top=(8,))
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from train.batch import Batch, Features, ListFeature
from train.determinism import deterministic, seeded
from train.jagged import Jagged
from train.layers.embedding import FusedEmbedding
from train.losses.pointwise import binary_cross_entropy
from train.metrics.classification import auc
from train.models import RANKERS
from train.models.behaviour import BEHAVIOUR
from train.models.rank.base import RankerModel
from train.optim.mover import Mover
from train.spec import OptimizerSpec, RankerSpec

CPU = torch.device("cpu")
FEATURES = Features(
    ("user", "item", "hour"), (30, 20, 4), ("age", "price"), (ListFeature("tags", 12),), user_id="user", item_id="item"
)
WITH_HISTORY = replace(FEATURES, lists=(*FEATURES.lists, ListFeature("history.item", 20, of="item")))
FAST = OptimizerSpec(rate=0.02, embedding_rate=0.2)


class RankerContract:
    """What holds for every ranker.

    Attributes:
        model: Its settings, small.
        features: What it reads; rows hold what `WITH_HISTORY` names.
        planted_auc: What it must reach on rows whose logit is a product of user and item vectors plus a line.
    """

    model: RankerModel
    features = FEATURES
    planted_auc = 0.75

    @pytest.fixture
    def module(self) -> nn.Module:
        return fresh(self.model, self.features)

    def test_the_registry_and_the_config_know_it(self) -> None:
        assert RANKERS[self.model.kind] is type(self.model)
        spec = RankerSpec(model=self.model)
        assert RankerSpec.model_validate(spec.model_dump(mode="json")) == spec

    def test_the_seed_decides_the_weights(self, module: nn.Module) -> None:
        again = fresh(self.model, self.features).state_dict()
        assert all(torch.equal(value, again[name]) for name, value in module.state_dict().items())

    def test_gradients_reach_every_parameter(self, module: nn.Module) -> None:
        batch = rows(64)
        with deterministic():
            # Weights at zero (a linear part) would pass no gradient to what lies below them.
            loss = binary_cross_entropy(module(batch), batch.target_B)
            loss.backward()
        assert torch.isfinite(loss)
        for name, weight in module.named_parameters():
            gradient = weight.grad.to_dense() if weight.grad.is_sparse else weight.grad
            assert gradient.isfinite().all(), name
            assert gradient.abs().sum() > 0, name

    def test_tables_have_sparse_gradients(self, module: nn.Module) -> None:
        batch = rows(8)
        module(batch).sum().backward()
        tables = [part for part in module.modules() if isinstance(part, FusedEmbedding)]
        assert tables
        assert all(table.weight.grad.is_sparse for table in tables)

    def test_a_row_does_not_see_its_batch(self, module: nn.Module) -> None:
        module.eval()
        batch = rows(50)
        with torch.inference_mode():
            together = module(batch)
            alone = torch.cat([module(batch.rows(row, row + 1)) for row in range(50)])
            turned = module(batch.pick(torch.arange(49, -1, -1))).flip(0)
        torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(turned, together, rtol=1e-5, atol=1e-6)

    def test_it_learns_64_rows_by_heart(self, module: nn.Module) -> None:
        batch = distinct_rows(64)
        train(module, batch, steps=300, batch_size=64)
        with torch.inference_mode():
            assert binary_cross_entropy(module(batch), batch.target_B) < 0.15  # guessing: 0.69

    def test_it_ranks_planted_rows(self, module: nn.Module) -> None:
        truth, held_out = planted(4000, seed=1), planted(1000, seed=2)
        train(module, truth, steps=400, batch_size=200)
        with torch.inference_mode():
            assert auc(module(held_out), held_out.target_B) > self.planted_auc

    def test_the_exported_graph_is_the_module(self, module: nn.Module) -> None:
        module.eval()
        batch, other = rows(7), rows(31)
        size = torch.export.Dim("rows", min=1)
        names = tuple(one.name for one in self.features.lists)
        elements = [torch.export.Dim(f"elements{place}", min=1) for place in range(len(names))]
        free = ({0: size}, {0: size}, tuple(part for one in elements for part in ({0: one}, {0: size + 1})))
        with torch.no_grad():
            graph = torch.export.export(Plain(module, names), plain(batch, names), dynamic_shapes=free).module()
            torch.testing.assert_close(graph(*plain(other, names)), module(other), rtol=1e-6, atol=1e-6)

    def test_reloaded_weights_give_the_same_bits(self, module: nn.Module) -> None:
        train(module, rows(64), steps=3, batch_size=64)
        other = fresh(self.model, self.features, seed=99)
        other.load_state_dict(module.state_dict())
        batch = rows(40)
        with torch.inference_mode():
            assert torch.equal(module.eval()(batch), other.eval()(batch))

    def test_it_takes_either_kind_of_feature_alone(self) -> None:
        batch = rows(16)
        ids = replace(batch, dense_BD=batch.dense_BD[:, :0])
        dense = replace(batch, ids_BF=batch.ids_BF[:, :0])
        for features, given in (
            (replace(FEATURES, continuous=()), ids),
            (replace(FEATURES, categorical=(), cardinalities=(), lists=()), dense),
            (replace(FEATURES, categorical=(), cardinalities=(), continuous=()), replace(ids, ids_BF=dense.ids_BF)),
            (Features(("user",), (30,), ()), replace(ids, ids_BF=batch.ids_BF[:, :1])),
        ):
            module = fresh(self.model, features)
            logit_B = module(given)
            assert logit_B.shape == (16,)
            binary_cross_entropy(logit_B, given.target_B).backward()
            assert all(weight.grad is not None for weight in module.parameters())

    def test_how_a_list_is_ordered_and_how_long_others_are_changes_nothing(self, module: nn.Module) -> None:
        module.eval()
        batch, long = rows(20), rows(3, seed=8)
        tags = batch.lists["tags"]
        turned = torch.cat([tags.rows(row, row + 1).values_J.flip(0) for row in range(20)])
        longer = with_tags(long, Jagged.of([list(range(12)) * 5, [], [3]]))
        with torch.inference_mode():
            alone = module(batch)
            torch.testing.assert_close(module(with_tags(batch, tags.replaced(turned))), alone)
            beside = module(Batch.join([longer, batch, longer]))
        assert beside.isfinite().all()
        torch.testing.assert_close(beside[3:23], alone, rtol=1e-5, atol=1e-6)

    def test_lists_count(self, module: nn.Module) -> None:
        batch = distinct_rows(64)
        tagged = replace(batch, target_B=(batch.lists["tags"].sizes % 2).float())
        tags = [[7] if odd else [2, 5] for odd in tagged.target_B]
        tagged = with_tags(tagged, Jagged.of(tags))
        train(module, tagged, steps=200, batch_size=64)
        with torch.inference_mode():
            assert auc(module(tagged), tagged.target_B) > 0.95


class Plain(nn.Module):
    """A ranker that takes tensors, as an exported graph does."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.module, self.names = module, names

    def forward(self, ids_BF: Tensor, dense_BD: Tensor, *parts: Tensor) -> Tensor:
        lists = {name: Jagged(*parts[2 * place : 2 * place + 2]) for place, name in enumerate(self.names)}
        logit_B: Tensor = self.module(Batch(ids_BF, dense_BD, lists=lists))
        return logit_B


def plain(batch: Batch, names: tuple[str, ...]) -> tuple[Tensor, ...]:
    """The tensors of a batch."""
    lists = [batch.lists[name] for name in names]
    return batch.ids_BF, batch.dense_BD, *(part for one in lists for part in (one.values_J, one.offsets_B1))


def with_tags(batch: Batch, tags: Jagged) -> Batch:
    """The same rows with other tags."""
    return replace(batch, lists={**batch.lists, "tags": tags})


def features_for(kind: str) -> Features:
    """What a kind of ranker needs."""
    return WITH_HISTORY if kind in BEHAVIOUR else FEATURES


def fresh(model: RankerModel, features: Features, seed: int = 3) -> nn.Module:
    """A module with the weights of a seed."""
    with seeded(seed, CPU):
        return model.build(features)


def train(module: nn.Module, data: Batch, *, steps: int, batch_size: int) -> None:
    """Some steps over the rows in order, without the trainer."""
    module.train()
    mover = Mover(module, FAST, steps=steps)
    with seeded(5, CPU):
        for step in range(steps):
            start = step * batch_size % len(data)
            batch = data.rows(start, start + batch_size)
            binary_cross_entropy(module(batch), batch.target_B).backward()
            mover.step(step)
    module.eval()


def rows(count: int, seed: int = 0) -> Batch:
    """Random rows, which repeat ids."""
    random = torch.Generator().manual_seed(seed)
    ids = [torch.randint(0, size, (count,), generator=random, dtype=torch.int32) for size in FEATURES.cardinalities]
    dense_BD = torch.randn(count, len(FEATURES.continuous), generator=random)
    target_B = torch.randint(0, 2, (count,), generator=random).float()
    sizes = torch.randint(0, 5, (count,), generator=random).tolist()
    tags = Jagged.of([torch.randint(0, 12, (size,), generator=random).tolist() for size in sizes])
    met = Jagged.of([torch.randint(0, 20, (size,), generator=random).tolist() for size in reversed(sizes)])
    return Batch(torch.stack(ids, 1), dense_BD, target_B, lists={"tags": tags, "history.item": met})


def distinct_rows(count: int) -> Batch:
    """Random rows whose target a line can tell, so that even a linear model can learn them."""
    batch = rows(count)
    return replace(batch, target_B=(batch.dense_BD.sum(1) + (batch.ids_BF[:, 0] % 2) > 0.5).float())


def planted(count: int, seed: int) -> Batch:
    """Rows whose target a product of vectors and a line decide."""
    batch = rows(count, seed)
    random = torch.Generator().manual_seed(100)
    user, item = (torch.randn(size, 2, generator=random) for size in FEATURES.cardinalities[:2])
    product_B = (user[batch.ids_BF[:, 0].long()] * item[batch.ids_BF[:, 1].long()]).sum(1)
    logit_B = 2.0 * product_B + batch.dense_BD[:, 0]
    noise_B = torch.rand(count, generator=torch.Generator().manual_seed(seed + 1000))
    return replace(batch, target_B=(noise_B < logit_B.sigmoid()).float())
