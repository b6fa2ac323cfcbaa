"""Rankers that attend to what a user met, by the name they have in YAML."""

from __future__ import annotations

from train.models.behaviour.bst import BstSpec
from train.models.behaviour.dien import DienSpec
from train.models.behaviour.din import DinSpec
from train.models.rank.base import RankerModel

BEHAVIOUR: dict[str, type[RankerModel]] = {"din": DinSpec, "dien": DienSpec, "bst": BstSpec}
"""Models of a candidate among what a user met before; they need `train.ranker.history`."""
