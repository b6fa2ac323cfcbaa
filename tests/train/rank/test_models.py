"""Every ranker keeps the contract."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch

from core.errors import UserError
from core.schema import Tag
from tests.contract.rankers import FEATURES, RankerContract, fresh, planted, rows, train
from tests.train.synthetic import planted_schema
from train.batch import Batch, Features
from train.metrics.classification import auc
from train.model_directory import features_of
from train.models import RANKERS
from train.models.rank.dcn import DcnSpec
from train.models.rank.dcn_v2 import DcnV2Spec
from train.models.rank.deepfm import DeepFmSpec
from train.models.rank.dlrm import DlrmSpec
from train.models.rank.fm import FmSpec
from train.models.rank.logistic import LogisticSpec
from train.models.rank.mlp import MlpSpec
from train.models.rank.neumf import NeuMfSpec
from train.models.rank.wide_deep import WideDeepSpec
from train.models.rank.xdeepfm import XDeepFmSpec


class TestLogistic(RankerContract):
    model = LogisticSpec()
    planted_auc = 0.62  # a line cannot see the product


class TestMlp(RankerContract):
    model = MlpSpec(embedding_dim=8, hidden=(32, 16))


class TestWideDeep(RankerContract):
    model = WideDeepSpec(embedding_dim=8, hidden=(32, 16))


class TestDcnV2(RankerContract):
    model = DcnV2Spec(embedding_dim=8, cross_layers=2, hidden=(32,))


class TestDcnV2StackedAndThin(RankerContract):
    model = DcnV2Spec(embedding_dim=8, cross_layers=2, hidden=(32,), structure="stacked", rank=8)


class TestCrossAlone(RankerContract):
    model = DcnV2Spec(embedding_dim=8, cross_layers=2, hidden=())


class TestMixtureOfExperts(RankerContract):
    model = DcnV2Spec(embedding_dim=8, cross_layers=2, hidden=(32,), rank=8, experts=3)


class TestDlrm(RankerContract):
    model = DlrmSpec(embedding_dim=8, bottom=(16,), top=(32, 16))


class TestMlpOnEmbeddedNumbers(RankerContract):
    model = MlpSpec(embedding_dim=8, hidden=(32, 16), numbers="embedded")


class TestFm(RankerContract):
    model = FmSpec(embedding_dim=8)


class TestDeepFm(RankerContract):
    model = DeepFmSpec(embedding_dim=8, hidden=(32, 16), dropout=0.0)


class TestDeepFmOnRawNumbers(RankerContract):
    model = DeepFmSpec(embedding_dim=8, hidden=(32, 16), dropout=0.0, numbers="raw")


class TestXDeepFm(RankerContract):
    model = XDeepFmSpec(embedding_dim=8, maps=(8, 8), hidden=(32,))


class TestCinAlone(RankerContract):
    model = XDeepFmSpec(embedding_dim=8, maps=(5, 3), split=False, hidden=())


class TestDcn(RankerContract):
    model = DcnSpec(embedding_dim=8, cross_layers=3, hidden=(32, 16))


class TestNeuMf(RankerContract):
    model = NeuMfSpec(factors=8, embedding_dim=8, hidden=(16, 8))

    def test_it_takes_either_kind_of_feature_alone(self) -> None:
        without = replace(FEATURES, categorical=(), cardinalities=(), user_id=None, item_id=None)
        with pytest.raises(UserError, match="no feature is the user's id"):
            self.model.build(without)
        with pytest.raises(UserError, match="no feature is the item's id"):
            self.model.build(replace(FEATURES, item_id=None))


class TestNeuMfTowerAlone(TestNeuMf):
    model = NeuMfSpec(parts=("mlp",), embedding_dim=8, hidden=(16, 8))


@pytest.mark.parametrize("kind", sorted(set(RANKERS) - {"logistic"}))
def test_no_features_are_refused(kind: str) -> None:
    with pytest.raises(UserError, match="no features"):
        RANKERS[kind]().build(Features((), (), ()))


def test_dropout_acts_in_training_alone() -> None:
    module = fresh(MlpSpec(embedding_dim=4, hidden=(64,), dropout=0.5), FEATURES)
    batch = rows(16)
    assert not torch.equal(module(batch), module(batch))
    module.eval()
    assert torch.equal(module(batch), module(batch))


def test_neumf_knows_the_columns_of_the_ids() -> None:
    turned = Features(("hour", "item", "user"), (4, 20, 30), (), user_id="user", item_id="item")
    module = fresh(NeuMfSpec(parts=("gmf", "mlp"), factors=4, embedding_dim=4, hidden=(8,)), turned)
    ids_B3 = torch.tensor([[3, 19, 29]])
    product = module.parts[0]
    expected = product.embedding.weight[29] * product.embedding.weight[30 + 19]
    assert torch.equal(product(Batch(ids_B3, torch.zeros(1, 0)))[0], expected)


def test_gmf_alone_reads_two_ids_and_names_what_it_cannot_use() -> None:
    pair = Features(("user", "item"), (30, 20), (), user_id="user", item_id="item")
    module, gmf = fresh(NeuMfSpec(parts=("gmf",)), pair), NeuMfSpec(parts=("gmf",))
    data, held_out = planted(4000, seed=1), planted(1000, seed=2)
    train(module, ids_alone(data), steps=400, batch_size=200)
    with torch.inference_mode():
        assert auc(module(ids_alone(held_out)), held_out.target_B) > 0.7
    with pytest.raises(UserError, match="cannot use hour, age, price, tags"):
        gmf.build(FEATURES)


def ids_alone(batch: Batch) -> Batch:
    return Batch(batch.ids_BF[:, :2], batch.dense_BD[:, :0], batch.target_B)


def test_experts_need_a_rank() -> None:
    with pytest.raises(ValueError, match="4 experts need a rank"):
        DcnV2Spec(experts=4)


def test_a_part_is_named_once() -> None:
    with pytest.raises(ValueError, match="names a part twice"):
        NeuMfSpec(parts=("gmf", "gmf"))


def test_the_ids_are_known_by_their_tags_and_saved() -> None:
    features = Features.of(planted_schema(9, 9))
    assert (features.user_id, features.item_id) == ("user_id", "item_id")
    assert features_of(json.loads(json.dumps(asdict(features)))) == features
    assert Features.of(planted_schema(9, 9).select(Tag.CONTEXT)).user_id is None
