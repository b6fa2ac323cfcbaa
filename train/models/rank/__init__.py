"""The rankers, by the name they have in YAML."""

from __future__ import annotations

from train.models.rank.base import RankerModel
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

CROSS: dict[str, type[RankerModel]] = {
    "logistic": LogisticSpec,
    "mlp": MlpSpec,
    "wide_deep": WideDeepSpec,
    "fm": FmSpec,
    "deepfm": DeepFmSpec,
    "xdeepfm": XDeepFmSpec,
    "dcn": DcnSpec,
    "dcn_v2": DcnV2Spec,
    "dlrm": DlrmSpec,
    "neumf": NeuMfSpec,
}
"""Models of a row's features and of their interactions."""
