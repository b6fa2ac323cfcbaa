"""Samplers of negatives, by the name they have in YAML."""

from __future__ import annotations

from train.negatives.base import NegativeSpec
from train.negatives.drawn import InBatchNegatives, MixedNegatives, PopularityNegatives, UniformNegatives

NEGATIVES: dict[str, type[NegativeSpec]] = {
    "uniform": UniformNegatives,
    "popularity": PopularityNegatives,
    "in_batch": InBatchNegatives,
    "mixed": MixedNegatives,
}
