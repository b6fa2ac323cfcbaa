"""Every ranker keeps the contract."""

from __future__ import annotations

import pytest
import torch

from core.errors import UserError
from tests.contract.rankers import FEATURES, RankerContract, fresh, rows
from train.batch import Features
from train.models import RANKERS
from train.models.rank.dcn_v2 import DcnV2Spec
from train.models.rank.dlrm import DlrmSpec
from train.models.rank.logistic import LogisticSpec
from train.models.rank.mlp import MlpSpec
from train.models.rank.wide_deep import WideDeepSpec


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


class TestDlrm(RankerContract):
    model = DlrmSpec(embedding_dim=8, bottom=(16,), top=(32, 16))


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
