"""The rankers, by the name they have in YAML."""

from __future__ import annotations

from train.models.rank.base import RankerModel
from train.models.rank.dcn_v2 import DcnV2Spec
from train.models.rank.dlrm import DlrmSpec
from train.models.rank.logistic import LogisticSpec
from train.models.rank.mlp import MlpSpec
from train.models.rank.wide_deep import WideDeepSpec

CROSS: dict[str, type[RankerModel]] = {
    "logistic": LogisticSpec,
    "mlp": MlpSpec,
    "wide_deep": WideDeepSpec,
    "dcn_v2": DcnV2Spec,
    "dlrm": DlrmSpec,
}
"""Models of a row's features and of their interactions."""
