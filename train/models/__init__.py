"""The models, by the name they have in YAML; each family has its own dict beside its files."""

from __future__ import annotations

from train.models.behaviour import BEHAVIOUR
from train.models.next_item import NEXT_ITEM
from train.models.rank import CROSS
from train.models.rank.base import RankerModel
from train.models.retrieve import FACTORS
from train.models.retrieve.base import RetrieverModel
from train.models.tasks import TASKS

RANKERS: dict[str, type[RankerModel]] = {**CROSS, **BEHAVIOUR, **TASKS}
RETRIEVERS: dict[str, type[RetrieverModel]] = {**FACTORS, **NEXT_ITEM}
