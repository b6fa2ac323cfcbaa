"""Rankers of several targets, by the name they have in YAML."""

from __future__ import annotations

from train.models.rank.base import RankerModel
from train.models.tasks.mmoe import MmoeSpec
from train.models.tasks.ple import PleSpec

TASKS: dict[str, type[RankerModel]] = {
    "mmoe": MmoeSpec,
    "ple": PleSpec,
}
"""Models that predict several targets at once."""
