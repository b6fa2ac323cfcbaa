"""The candidate generators, by the name they have in YAML."""

from __future__ import annotations

from train.models.retrieve.base import RetrieverModel
from train.models.retrieve.ease import EaseSpec
from train.models.retrieve.ials import IalsSpec
from train.models.retrieve.item_knn import ItemKnnSpec
from train.models.retrieve.lightgcn import LightGcnSpec
from train.models.retrieve.mf import MfSpec
from train.models.retrieve.mult_vae import MultVaeSpec
from train.models.retrieve.popularity import PopularitySpec
from train.models.retrieve.two_tower import TwoTowerSpec

FACTORS: dict[str, type[RetrieverModel]] = {
    "popularity": PopularitySpec,
    "item_knn": ItemKnnSpec,
    "ease": EaseSpec,
    "ials": IalsSpec,
    "mf": MfSpec,
    "lightgcn": LightGcnSpec,
    "mult_vae": MultVaeSpec,
    "two_tower": TwoTowerSpec,
}
"""Models of who liked what."""
