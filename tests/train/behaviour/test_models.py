"""Every ranker that attends to histories keeps the contract."""

from __future__ import annotations

from tests.contract.behaviour import BehaviourContract
from train.models.behaviour.bst import BstSpec
from train.models.behaviour.dien import DienSpec
from train.models.behaviour.din import DinSpec


class TestDin(BehaviourContract):
    model = DinSpec(embedding_dim=8, attention=(16,), hidden=(32, 16))
    ordered, longest = False, None


class TestDien(BehaviourContract):
    model = DienSpec(embedding_dim=8, hidden=(32, 16), longest=6)
    ordered, longest = True, 6


class TestBst(BehaviourContract):
    model = BstSpec(embedding_dim=8, heads=2, hidden=(32, 16), dropout=0.0, longest=6)
    ordered, longest = True, 6
