"""The models, by the name they have in YAML."""

from __future__ import annotations

from train.models.base import RankerModel
from train.models.dcn_v2 import DcnV2Spec
from train.models.dlrm import DlrmSpec
from train.models.logistic import LogisticSpec
from train.models.mlp import MlpSpec
from train.models.popularity import PopularitySpec
from train.models.retriever import RetrieverModel
from train.models.two_tower import TwoTowerSpec
from train.models.wide_deep import WideDeepSpec

RANKERS: dict[str, type[RankerModel]] = {
    "logistic": LogisticSpec,
    "mlp": MlpSpec,
    "wide_deep": WideDeepSpec,
    "dcn_v2": DcnV2Spec,
    "dlrm": DlrmSpec,
}

RETRIEVERS: dict[str, type[RetrieverModel]] = {
    "popularity": PopularitySpec,
    "two_tower": TwoTowerSpec,
}
